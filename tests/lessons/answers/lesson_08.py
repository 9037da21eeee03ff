import numpy as np

from . import lesson, right, wrong

names = lesson(8)
concatenate = lesson(2)["concatenate"]
Tensor, Module, Linear, LayerNorm, MLP = (names[name] for name in ("Tensor", "Module", "Linear", "LayerNorm", "MLP"))
parameter, attention = names["parameter"], names["attention"]
split_given, merge_given, Attention = names["split_heads"], names["merge_heads"], names["MultiHeadSelfAttention"]


@right
def head_columns(part, head, heads, D):
    D_h = D // heads
    return slice((part * heads + head) * D_h, (part * heads + head + 1) * D_h)


@right
def head_columns(part, head, heads, D):
    columns = np.arange(3 * D).reshape(3, heads, D // heads)[part, head]
    return slice(int(columns[0]), int(columns[-1]) + 1, 1)


@wrong("it expects q, k and v of one head together")
def head_columns(part, head, heads, D):
    D_h = D // heads
    start = (3 * head + part) * D_h
    return slice(start, start + D_h)


@wrong("takes D columns")
def head_columns(part, head, heads, D):
    start = part * D + head * (D // heads)
    return slice(start, start + D)


@wrong("the last column is missing")
def head_columns(part, head, heads, D):
    D_h = D // heads
    start = part * D + head * D_h
    return slice(start, start + D_h - 1)


@wrong("part and head are swapped")
def head_columns(part, head, heads, D):
    D_h = D // heads
    start = head * D + part * D_h
    return slice(start, start + D_h)


@wrong("it begins head columns into the part")
def head_columns(part, head, heads, D):
    start = part * D + head
    return slice(start, start + D // heads)


@wrong("return slice(first, last + 1)")
def head_columns(part, head, heads, D):
    D_h = D // heads
    return part * D + head * D_h, part * D + head * D_h + D_h


@wrong("always head 0")
def head_columns(part, head, heads, D):
    return slice(part * D, part * D + D // heads)


@wrong("each part before this one has `heads` of them")
def head_columns(part, head, heads, D):
    D_h = D // heads
    return slice(part * 3 * D_h + head * D_h, part * 3 * D_h + head * D_h + D_h)


@wrong("the reshape cuts the images, reshape(3, B, ...)")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    split = qkv.reshape(3, B, N, heads, width // 3 // heads).transpose(0, 1, 3, 2, 4)
    return split[0], split[1], split[2]


@right
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    D = width // 3
    parts = (qkv[:, :, :D], qkv[:, :, D : 2 * D], qkv[:, :, 2 * D :])
    q, k, v = (part.reshape(B, N, heads, D // heads).transpose(0, 2, 1, 3) for part in parts)
    return q, k, v


@right
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    # parts and heads are one axis first
    x = qkv.reshape(B, N, 3 * heads, -1).transpose(0, 2, 1, 3)
    return [x[:, :heads], x[:, heads : 2 * heads], x[:, 2 * heads :]]


@wrong("the transpose is missing")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(3, B, heads, N, width // (3 * heads))
    return x[0], x[1], x[2]


@wrong("in the order head, part, number")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, heads, 3, width // (3 * heads)).transpose(3, 0, 2, 1, 4)
    return x[0], x[1], x[2]


@wrong("in the order part, number, head")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, width // (3 * heads), heads).transpose(2, 0, 4, 1, 3)
    return x[0], x[1], x[2]


@wrong("the axis of heads must come before the axis of tokens")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 1, 3, 4)
    return x[0], x[1], x[2]


@wrong("returns one Tensor")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    return qkv.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)


@wrong("this is k")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)
    return x[1], x[0], x[2]


@wrong("returns arrays")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    return tuple(qkv.data.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4))


@right
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(0, 2, 1, 3).reshape(B, N, -1)


@right
def merge_heads(outputs):
    # the last axis first, and back
    B, heads, N, D_h = outputs.shape
    columns = outputs.transpose(1, 3, 0, 2).reshape(heads * D_h, B, N)
    return columns.transpose(1, 2, 0)


@wrong("the transpose is missing")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.reshape(B, N, heads * D_h)


@wrong("alternate")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(0, 2, 3, 1).reshape(B, N, heads * D_h)


@wrong("heads and numbers are two axes")
def merge_heads(outputs):
    return outputs.transpose(0, 2, 1, 3)


@wrong("averaged")
def merge_heads(outputs):
    return outputs.mean(axis=1)


@wrong("returns an array")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.data.transpose(0, 2, 1, 3).reshape(B, N, heads * D_h)


class Start(Module):
    """The part of MultiHeadSelfAttention that is given."""

    def __init__(self, dim, heads, rng):
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim, rng)
        self.out = Linear(dim, dim, rng)


@right
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return self.out(merge_given(attention(*split_given(self.qkv(z), self.heads))))


@right
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        # each head by itself, and each writes its own part into the result
        q, k, v = split_given(self.qkv(z), self.heads)
        D_h = q.shape[-1]
        y = self.out.bias
        for h in range(self.heads):
            y = attention(q[:, h], k[:, h], v[:, h]) @ self.out.weight[h * D_h : (h + 1) * D_h] + y
        return y


@wrong("the last layer is missing")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return merge_given(attention(*split_given(self.qkv(z), self.heads)))


@wrong("the heads are not split")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        qkv, D = self.qkv(z), z.shape[-1]
        return self.out(attention(qkv[..., :D], qkv[..., D : 2 * D], qkv[..., 2 * D :]))


@wrong("belongs to the block")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return self.out(merge_given(attention(*split_given(self.qkv(z), self.heads)))) + z


@wrong("in the wrong order")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return self.out(attention(*split_given(self.qkv(z), self.heads)).reshape(*z.shape))


@wrong("keys and values are swapped")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        q, v, k = split_given(self.qkv(z), self.heads)
        return self.out(merge_given(attention(q, k, v)))


@wrong("has no out")
class MultiHeadSelfAttention(Module):
    def __init__(self, dim, heads, rng):
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim, rng)
        self.proj = Linear(dim, dim, rng)

    def forward(self, z):
        return self.proj(merge_given(attention(*split_given(self.qkv(z), self.heads))))


class Parts(Module):
    """The part of EncoderBlock that is given."""

    def __init__(self, dim, heads, mlp_dim, rng):
        self.norm1 = LayerNorm(dim)
        self.attention = Attention(dim, heads, rng)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, rng)


@right
class EncoderBlock(Parts):
    def forward(self, z):
        half = z + self.attention(self.norm1(z))
        return half + self.mlp(self.norm2(half))


@right
class EncoderBlock(Parts):
    def forward(self, z):
        for norm, part in ((self.norm1, self.attention), (self.norm2, self.mlp)):
            z = z + part(norm(z))
        return z


@wrong("the first residual connection is missing")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z))
        return self.mlp(self.norm2(z)) + z


@wrong("close the brackets before + z")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z) + z)
        return self.mlp(self.norm2(z) + z)


@wrong("the second residual connection is missing")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm2(z))


@wrong("the second half adds the block's input")
class EncoderBlock(Parts):
    def forward(self, z):
        half = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm2(half)) + z


@wrong("the norms come after the additions, as in 2017")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.norm1(self.attention(z) + z)
        return self.norm2(self.mlp(z) + z)


@wrong("both halves add the normalised tokens")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.norm1(z)
        z = self.attention(z) + z
        z = self.norm2(z)
        return self.mlp(z) + z


@wrong("both halves use norm1")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm1(z)) + z


@wrong("both halves read the block's input")
class EncoderBlock(Parts):
    def forward(self, z):
        return self.attention(self.norm1(z)) + self.mlp(self.norm2(z)) + z


@wrong("the second half is missing")
class EncoderBlock(Parts):
    def forward(self, z):
        return self.attention(self.norm1(z)) + z


@wrong("both norms are missing")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(z) + z
        return self.mlp(z) + z


@wrong("both residual connections are missing")
class EncoderBlock(Parts):
    def forward(self, z):
        return self.mlp(self.norm2(self.attention(self.norm1(z))))


@wrong("the norms act on the outputs of attention and MLP")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.norm1(self.attention(z)) + z
        return self.norm2(self.mlp(z)) + z


@wrong("leaves no gradient on z")
class EncoderBlock(Parts):
    def forward(self, z):
        z = z.detach()
        z = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm2(z)) + z


# -- more mistakes, by what a learner knows --------------------------------------------------------------


@wrong("a slice needs the end, start + D_h")
def head_columns(part, head, heads, D):
    D_h = D // heads
    return slice(part * D + head * D_h, D_h)


@wrong("divide with //")
def head_columns(part, head, heads, D):
    D_h = D / heads
    return slice(part * D + head * D_h, part * D + (head + 1) * D_h)


@wrong("heads count from 0")
def head_columns(part, head, heads, D):
    D_h = D // heads
    return slice(part * D + (head - 1) * D_h, part * D + head * D_h)


@wrong("it begins one column late")
def head_columns(part, head, heads, D):
    D_h = D // heads
    start = part * D + head * D_h + 1
    return slice(start, start + D_h)


@wrong("it counts heads instead of columns")
def head_columns(part, head, heads, D):
    start = part * heads + head
    return slice(start, start + D // heads)


@wrong("q of split_heads(qkv, 3): the transpose is missing")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    D = width // 3
    return [qkv[..., i * D : (i + 1) * D].reshape(B, heads, N, D // heads) for i in range(3)]


@wrong("the transpose is missing: reshape")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, 3, heads, N, width // (3 * heads))
    return x[:, 0], x[:, 1], x[:, 2]


@wrong("the transpose is missing: reshape without it mixes")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, heads, N, width // heads)
    D_h = width // (3 * heads)
    return x[..., :D_h], x[..., D_h : 2 * D_h], x[..., 2 * D_h :]


@wrong("PyTorch's permute is here: transpose(...)")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    return x[0], x[1], x[2]


@wrong("PyTorch's chunk is here: slices")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    return [x.view(B, N, heads, -1).transpose(1, 2) for x in qkv.chunk(3, dim=-1)]


@wrong("transpose takes every axis")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    D = width // 3
    return [qkv[..., i * D : (i + 1) * D].reshape(B, N, heads, D // heads).transpose(1, 2) for i in range(3)]


@wrong("np.split takes no Tensor")
def split_heads(qkv, heads):
    return np.split(qkv, 3, axis=-1)


@wrong("D_h is width // (3 * heads)")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    return x[0], x[1], x[2]


@wrong("the heads are not split")
def split_heads(qkv, heads):
    D = qkv.shape[-1] // 3
    return qkv[..., :D], qkv[..., D : 2 * D], qkv[..., 2 * D :]


@wrong("returns 2 things")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)
    return x[0], x[1]


@wrong("the heads were added up")
def merge_heads(outputs):
    return outputs.sum(axis=1)


@wrong("transpose takes every axis")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(1, 2).reshape(B, N, heads * D_h)


@wrong("np.concatenate takes no Tensor")
def merge_heads(outputs):
    return np.concatenate([outputs[:, h] for h in range(outputs.shape[1])], axis=-1)


@wrong("tokens and numbers are swapped")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(0, 1, 3, 2).reshape(B, heads * D_h, N)


@wrong("tokens come before images")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(2, 0, 1, 3).reshape(N, B, heads * D_h)


@wrong("only one head is left")
def merge_heads(outputs):
    return outputs[:, 0]


@wrong("PyTorch's flatten is here: reshape")
def merge_heads(outputs):
    return outputs.transpose(0, 2, 1, 3).flatten(2)


@wrong("and merge the heads before it")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        q, k, v = split_given(self.qkv(z), self.heads)
        return self.out(attention(q, k, v))


@wrong("split_heads needs the packed Tensor")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return self.out(merge_given(attention(*split_given(z, self.heads))))


@wrong("the heads are not merged, use merge_heads")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return attention(*split_given(self.qkv(z), self.heads))


@wrong("queries and keys are swapped")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        q, k, v = split_given(self.qkv(z), self.heads)
        return self.out(merge_given(attention(k, q, v)))


@wrong("the number of heads is self.heads")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        return self.out(merge_given(attention(*split_given(self.qkv(z)))))


@wrong("these are the values without attention")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        _, _, v = split_given(self.qkv(z), self.heads)
        return self.out(merge_given(v))


@wrong("the second half adds its normalised tokens")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z)) + z
        z = self.norm2(z)
        return self.mlp(z) + z


@wrong("added a third time")
class EncoderBlock(Parts):
    def forward(self, z):
        half = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm2(half)) + half + z


@wrong("call it with the tokens alone")
class EncoderBlock(Parts):
    def forward(self, z):
        n = self.norm1(z)
        z = self.attention(n, n, n) + z
        return self.mlp(self.norm2(z)) + z


@wrong("the second norm is missing")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z)) + z
        return self.mlp(z) + z


@wrong("norm1 and norm2 are swapped")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm2(z)) + z
        return self.mlp(self.norm1(z)) + z


@wrong("the MLP comes first")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.mlp(self.norm2(z)) + z
        return self.attention(self.norm1(z)) + z


@wrong("only norm1 comes first")
class EncoderBlock(Parts):
    def forward(self, z):
        z = self.attention(self.norm1(z)) + z
        return self.norm2(self.mlp(z)) + z


# -- puzzles ---------------------------------------------------------------------------------------------


@right
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(N, 3 * heads, D_h).transpose(1, 0, 2).reshape(-1, D_h)


@right
def stack_heads(qkv, heads, N, D_h):
    """By parts and heads."""
    return qkv.reshape(N, 3, heads, D_h).transpose(1, 2, 0, 3).reshape(3 * heads * N, D_h)


@right
def stack_heads(qkv, heads, N, D_h):
    return qkv.T.reshape(3 * heads, D_h, N).transpose(0, 2, 1).reshape(3 * heads * N, D_h)


@wrong("stack_heads(qkv, 2, 3, 4): the transpose is missing")
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(3 * heads * N, D_h)


@wrong("heads come before parts")
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, heads, D_h).transpose(2, 1, 0, 3).reshape(3 * heads * N, D_h)


@wrong("transposed too: move groups and tokens alone")
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(N, 3 * heads, D_h).transpose(2, 1, 0).reshape(3 * heads * N, D_h)


@wrong("groups and tokens are still two axes")
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(N, 3 * heads, D_h).transpose(1, 0, 2)


@wrong("uses concatenate: this puzzle allows reshape, transpose")
def stack_heads(qkv, heads, N, D_h):
    return np.concatenate(qkv.reshape(N, 3 * heads, D_h).transpose(1, 0, 2))


@wrong("must be a single line that begins with return")
def stack_heads(qkv, heads, N, D_h):
    groups = qkv.reshape(N, 3 * heads, D_h)
    return groups.transpose(1, 0, 2).reshape(3 * heads * N, D_h)


@right
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 1, 3).reshape(N, -1)


@right
def head_by_head(qkv, heads, N, D_h):
    return np.transpose(np.reshape(qkv, (N, 3, heads, D_h)), (0, 2, 1, 3)).reshape(N, 3 * heads * D_h)


@wrong("the columns have not moved")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, heads, 3, D_h).reshape(N, 3 * heads * D_h)


@wrong("this is the opposite direction")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, heads, 3, D_h).transpose(0, 2, 1, 3).reshape(N, 3 * heads * D_h)


@wrong("the numbers of a head's parts alternate")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 3, 1).reshape(N, 3 * heads * D_h)


@wrong("the axes are still apart")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 1, 3)


@wrong("tokens have moved too")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, heads, D_h).transpose(2, 1, 0, 3).reshape(N, 3 * heads * D_h)


@wrong("cut its last axis")
def split_heads(qkv, heads):
    D = qkv.shape[-1] // 3
    return qkv[:D], qkv[D : 2 * D], qkv[2 * D :]


@wrong("the first axis counts images")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads))
    return x[0], x[1], x[2]


@wrong("the first reshape mixes tokens")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, 3, N, heads, width // (3 * heads)).transpose(1, 0, 3, 2, 4)
    return x[0], x[1], x[2]


@wrong("its last two axes are swapped")
def split_heads(qkv, heads):
    B, N, width = qkv.shape
    x = qkv.reshape(B, N, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 4, 1)
    return x[0], x[1], x[2]


@wrong("the heads are exchanged with the images")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(1, 0, 2, 3).reshape(B, N, heads * D_h)


@wrong("joined to heads * D_h numbers")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(0, 2, 1, 3).reshape(B, N, D_h)


@wrong("it is empty")
def head_columns(part, head, heads, D):
    D_h = D // heads
    return slice(part * D + head * D_h, 3 * D_h)


@wrong("one column too many")
def head_columns(part, head, heads, D):
    start = part * D + head * (D // heads)
    return slice(start, start + D // heads + 1)


@wrong("they must average the values")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        q, k, _ = split_given(self.qkv(z), self.heads)
        return self.out(merge_given(attention(q, k, k)))


@wrong("each head attends to the other heads of its token")
class MultiHeadSelfAttention(Start):
    def forward(self, z):
        q, k, v = (part.transpose(0, 2, 1, 3) for part in split_given(self.qkv(z), self.heads))
        return self.out(attention(q, k, v).reshape(*z.shape))


@wrong("one residual connection spans both halves")
class EncoderBlock(Parts):
    def forward(self, z):
        return self.mlp(self.norm2(self.attention(self.norm1(z)))) + z


@wrong("and nothing adds it")
class EncoderBlock(Parts):
    def forward(self, z):
        return self.attention(self.norm1(z)) + self.mlp(self.norm2(z))


@wrong("begin it with N")
def stack_heads(qkv, heads, N, D_h):
    return qkv.reshape(3 * heads, N, D_h).transpose(1, 0, 2).reshape(3 * heads * N, D_h)


@wrong("single columns became rows")
def stack_heads(qkv, heads, N, D_h):
    return qkv.transpose(1, 0).reshape(3 * heads * N, D_h)


@wrong("cut them as part, head, number")
def head_by_head(qkv, heads, N, D_h):
    return qkv.reshape(N, 3, D_h, heads).transpose(0, 3, 1, 2).reshape(N, 3 * heads * D_h)


@wrong("every 4th column")
def head_columns(part, head, heads, D):
    return slice(part * D + head, (part + 1) * D, heads)


@wrong("parentheses are in the wrong place: (part * heads + head) comes first")
def head_columns(part, head, heads, D):
    D_h = D // heads
    first = part * heads + head * D_h
    return slice(first, first + D_h)


@wrong("puts the numbers before the heads")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return outputs.transpose(0, 3, 2, 1).reshape(B, N, heads * D_h)


@wrong("one head is repeated: concatenate all heads")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return concatenate([outputs[:, 0]] * heads, axis=2)


@wrong("the heads are joined along the tokens: join them along the")
def merge_heads(outputs):
    B, heads, N, D_h = outputs.shape
    return concatenate([outputs[:, h] for h in range(heads)], axis=1)


@wrong("the columns are cut into as many groups as heads: there are 3 * heads")
def stack_heads(qkv, heads, N, D_h):
    return np.vstack(np.hsplit(qkv, heads))


@wrong("the columns are cut into 3 parts: cut each part into its heads too")
def stack_heads(qkv, heads, N, D_h):
    return np.concatenate(np.split(qkv, 3, axis=1))
