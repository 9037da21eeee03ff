import math

import numpy as np

from . import lesson, right, right_value, wrong, wrong_value

names = lesson(9)
Tensor, Module, Linear, LayerNorm = names["Tensor"], names["Module"], names["Linear"], names["LayerNorm"]
PatchEmbedding, Tokens, EncoderBlock = names["PatchEmbedding"], names["Tokens"], names["EncoderBlock"]
parameter, softmax, cross_entropy = names["parameter"], names["softmax"], names["cross_entropy"]
classify_given, vit_given = names["classify"], names["ViT"]

right_value("initial_loss", np.log(10))
right_value("initial_loss", 2.303)
right_value("initial_loss", -math.log(0.1))
wrong_value("initial_loss", 0, "the same probability")
wrong_value("initial_loss", 0.1, "minus its logarithm")
wrong_value("initial_loss", 1.0, "to base 10")
wrong_value("initial_loss", np.log2(10), "to base 2")
wrong_value("initial_loss", np.log(0.1), "the sign")
wrong_value("initial_loss", "ln 10", "must be a number")


@right
def classify(z, norm, head):
    return head(norm(z[:, 0, :]))


@right
def classify(z, norm, head):
    everything = head(norm(z))  # (B, N + 1, K)
    return everything[:, 0]


@wrong("the norm is missing")
def classify(z, norm, head):
    return head(z[:, 0])


@wrong("the mean of all tokens is classified")
def classify(z, norm, head):
    return head(norm(z.mean(axis=1)))


@wrong("the last token is classified")
def classify(z, norm, head):
    return head(norm(z[:, -1]))


@wrong("the first image")
def classify(z, norm, head):
    return head(norm(z[0]))


@wrong("the axis of tokens is still there")
def classify(z, norm, head):
    return head(norm(z[:, :1]))


@wrong("every token is classified")
def classify(z, norm, head):
    return head(norm(z))


@wrong("these are probabilities")
def classify(z, norm, head):
    return softmax(head(norm(z[:, 0])))


@wrong("leaves no gradient")
def classify(z, norm, head):
    return head(norm(z[:, 0].detach()))


@right
class ViT(Module):
    def __init__(
        self,
        image_size=32,
        patch_size=4,
        channels=3,
        dim=64,
        depth=4,
        heads=2,
        mlp_dim=128,
        num_classes=10,
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        side = image_size // patch_size
        self.embedding = PatchEmbedding(patch_size, channels, dim, rng)
        self.tokens = Tokens(side * side, dim, rng)
        self.blocks = []
        for _ in range(depth):
            self.blocks.append(EncoderBlock(dim, heads, mlp_dim, rng))
        self.encoder_norm = LayerNorm(dim)
        self.head = Linear(dim, num_classes, rng)
        self.head.weight.data *= 0

    def forward(self, images):
        z = self.embedding(images)
        z = self.tokens(z)
        for block in self.blocks:
            z = block(z)
        return self.head(self.encoder_norm(z[:, 0]))


@right
class ViT(Module):
    def __init__(self, image_size, patch_size, channels, dim, depth, heads, mlp_dim, num_classes, seed):
        rng = np.random.default_rng(seed)
        self.head = Linear(dim, num_classes, rng)
        self.head.weight = parameter(np.zeros((dim, num_classes)))
        self.encoder_norm = LayerNorm(dim)
        self.blocks = [EncoderBlock(dim, heads, mlp_dim, rng) for i in range(depth)]
        self.tokens = Tokens(image_size**2 // patch_size**2, dim, rng)
        self.embedding = PatchEmbedding(patch_size, channels, dim, rng)

    def forward(self, images):
        z = self.tokens(self.embedding(images))
        for i in range(len(self.blocks)):
            z = self.blocks[i](z)
        return classify_given(z, self.encoder_norm, self.head)


def changed(told, after=None, forward=None):
    """The right model with one thing done otherwise: after __init__, or in forward."""

    def __init__(self, **sizes):
        vit_given.__init__(self, **sizes)
        if after is not None:
            after(self, **sizes)

    parts = {"__init__": __init__, "__module__": __name__}
    if forward is not None:
        parts["forward"] = forward
    wrong(told)(type("ViT", (vit_given,), parts))


def same_block(self, depth, **sizes):
    self.blocks = [self.blocks[0]] * depth


def same_start(self, dim, heads, mlp_dim, depth, seed, **sizes):
    self.blocks = [EncoderBlock(dim, heads, mlp_dim, np.random.default_rng(seed)) for _ in range(depth)]


def no_seed(self, dim, heads, mlp_dim, depth, **sizes):
    rng = np.random.default_rng(0)
    self.blocks = [EncoderBlock(dim, heads, mlp_dim, rng) for _ in range(depth)]


def random_head(self, dim, num_classes, **sizes):
    self.head = Linear(dim, num_classes, np.random.default_rng(0))


def four_blocks(self, dim, heads, mlp_dim, **sizes):
    rng = np.random.default_rng(0)
    self.blocks = [EncoderBlock(dim, heads, mlp_dim, rng) for _ in range(4)]


def one_position_too_many(self, image_size, patch_size, dim, **sizes):
    self.tokens = Tokens((image_size // patch_size) ** 2 + 1, dim, np.random.default_rng(0))


def other_name(self, **sizes):
    self.norm = self.__dict__.pop("encoder_norm")


changed("all blocks of ViT are the same object", same_block)
changed("all blocks of ViT start with the same numbers", same_start)
changed("two models of different seeds", no_seed)
changed("does not start at zero", random_head)
changed("ViT has 4 blocks, but depth is 3", four_blocks)
changed("adds one itself", one_position_too_many)
changed("has no attribute encoder_norm", other_name)


def through(self, z):
    for block in self.blocks:
        z = block(z)
    return z


def begin(self, images):
    return self.tokens(self.embedding(images))


def no_positions(self, images):
    return classify_given(through(self, self.embedding(images)), self.encoder_norm, self.head)


def no_blocks(self, images):
    return classify_given(begin(self, images), self.encoder_norm, self.head)


def last_block_only(self, images):
    z = begin(self, images)
    for block in self.blocks:
        out = block(z)
    return classify_given(out, self.encoder_norm, self.head)


def twice_residual(self, images):
    z = begin(self, images)
    for block in self.blocks:
        z = z + block(z)
    return classify_given(z, self.encoder_norm, self.head)


def no_norm(self, images):
    return self.head(through(self, begin(self, images))[:, 0])


def mean_token(self, images):
    return self.head(self.encoder_norm(through(self, begin(self, images)).mean(axis=1)))


def a_patch(self, images):
    return self.head(self.encoder_norm(through(self, begin(self, images))[:, 1]))


def no_head(self, images):
    return self.encoder_norm(through(self, begin(self, images))[:, 0])


def no_way_back(self, images):
    z = begin(self, images)
    return classify_given(through(self, Tensor(z.data)), self.encoder_norm, self.head)


changed("call self.tokens in forward", forward=no_positions)
changed("the blocks are not used", forward=no_blocks)
changed("only the last block is used", forward=last_block_only)
changed("the tokens are added to each block's result", forward=twice_residual)
changed("the encoder's norm is missing", forward=no_norm)
changed("the mean of all tokens is classified", forward=mean_token)
changed("token 1, a patch, is classified", forward=a_patch)
changed("the head is missing", forward=no_head)
changed("no gradient arrives", forward=no_way_back)


@right
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    def linear(a, b):
        return a * b + b

    N = image_size * image_size // (patch_size * patch_size)
    block = 4 * dim + linear(dim, 3 * dim) + linear(dim, dim) + linear(dim, mlp_dim) + linear(mlp_dim, dim)
    outside = linear(patch_size * patch_size * channels, dim) + (N + 2) * dim + 2 * dim + linear(dim, num_classes)
    return outside + depth * block


@right
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    D, M, P = dim, mlp_dim, patch_size
    total = P * P * channels * D + D + D + ((image_size // P) ** 2 + 1) * D
    for _ in range(depth):
        total += 2 * D + 3 * (D * D + D) + D * D + D + 2 * D + D * M + M + M * D + D
    return total + 2 * D + D * num_classes + num_classes


def count_with(outside=0, block=0):
    """The right count with something missing: so many of D² or so, outside the blocks and in each block."""
    given = names["count_parameters"]

    def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
        sizes = {"D": dim, "M": mlp_dim, "K": num_classes, "P": patch_size, "N": (image_size // patch_size) ** 2}
        right = given(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels)
        return right - eval(str(outside), {}, sizes) - depth * eval(str(block), {}, sizes)

    return count_parameters


wrong("count the class token, its position")(count_with("D"))
wrong("the positions are missing")(count_with("(N + 1) * D"))
wrong("the bias of the head is missing")(count_with("K"))
wrong("count its two norms and the biases of its attention")(count_with(block="4 * D"))
wrong("the norms are missing")(count_with("2 * D", "4 * D"))
wrong("the biases of qkv are missing")(count_with(block="3 * D"))
wrong("the biases of the MLP are missing")(count_with(block="M + D"))
wrong("qkv is counted as D x D")(count_with(block="2 * (D * D + D)"))
wrong("the layer `out`")(count_with(block="D * D + D"))
wrong("counted with one channel")(count_with("2 * P * P * D"))
wrong("which is 1 more")(count_with("1"))
wrong("too many: counted twice?")(count_with("-2 * D"))


@wrong("only one block is counted")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    return names["count_parameters"](image_size, patch_size, dim, 1, mlp_dim, num_classes, channels)


@wrong("divide with // to get an integer")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    return float(names["count_parameters"](image_size, patch_size, dim, depth, mlp_dim, num_classes, channels))


@wrong("use `channels`, not 3")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    return names["count_parameters"](image_size, patch_size, dim, depth, mlp_dim, num_classes)


@wrong("the last norm and the head are counted in each block: they are there once")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = (image_size // patch_size) ** 2
    block = 4 * dim + 4 * dim * dim + 4 * dim + 2 * dim * mlp_dim + mlp_dim + dim
    return (
        patch_size**2 * channels * dim
        + dim
        + dim
        + (N + 1) * dim
        + depth * (block + 2 * dim + dim * num_classes + num_classes)
    )


@wrong("the MLP's width is written as 4 · dim: use mlp_dim")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = (image_size // patch_size) ** 2
    block = 4 * dim + 4 * dim * dim + 4 * dim + 2 * dim * 4 * dim + 4 * dim + dim
    return (
        patch_size**2 * channels * dim
        + dim
        + dim
        + (N + 1) * dim
        + depth * block
        + 2 * dim
        + dim * num_classes
        + num_classes
    )


@wrong("the bias of fc2 is counted with mlp_dim numbers: it has dim")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = (image_size // patch_size) ** 2
    block = 4 * dim + 4 * dim * dim + 4 * dim + 2 * dim * mlp_dim + 2 * mlp_dim
    return (
        patch_size**2 * channels * dim
        + dim
        + dim
        + (N + 1) * dim
        + depth * block
        + 2 * dim
        + dim * num_classes
        + num_classes
    )


@wrong("the number of patches is (image_size // patch_size) ** 2: the square is missing")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = image_size // patch_size
    block = 4 * dim + 4 * dim * dim + 4 * dim + 2 * dim * mlp_dim + mlp_dim + dim
    return (
        patch_size**2 * channels * dim
        + dim
        + dim
        + (N + 1) * dim
        + depth * block
        + 2 * dim
        + dim * num_classes
        + num_classes
    )


@right
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data -= lr * p.grad
        p.grad = None
    return loss.item()


@right
def train_step(model, images, labels, lr):
    for _, p in model.named_parameters():
        p.grad = None
    loss = cross_entropy(model.forward(images), labels)
    loss.backward()
    for _, p in model.named_parameters():
        p.data[...] = p.data - lr * p.grad
    return float(loss.data)


@wrong("set every p.grad to None")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("the gradient is added")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data + lr * p.grad
        p.grad = None
    return loss.item()


@wrong("it has not changed: assign to p.data")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p = p - lr * p.grad
    return loss.item()


@wrong("returns a Tensor")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
        p.grad = None
    return loss


@wrong("the learning rate is missing")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - p.grad
        p.grad = None
    return loss.item()


@wrong("divided by the number of images")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad / len(labels)
        p.grad = None
    return loss.item()


@wrong("this is the loss after the step")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
        p.grad = None
    return cross_entropy(model(images), labels).item()


@wrong("update all parameters")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for name, p in model.named_parameters():
        if name.endswith("weight"):
            p.data = p.data - lr * p.grad
        p.grad = None
    return loss.item()


# -- more mistakes, by what a learner knows --------------------------------------------------------------


@wrong("this is the predicted class")
def classify(z, norm, head):
    return Tensor(head(norm(z[:, 0])).data.argmax(axis=-1).astype(np.float64))


@wrong("token 1, a patch, is classified")
def classify(z, norm, head):
    return head(norm(z[:, 1]))


@wrong("these are the class tokens: apply norm and head")
def classify(z, norm, head):
    return z[:, 0]


@wrong("the head is missing")
def classify(z, norm, head):
    return norm(z[:, 0])


@wrong("the mean of the patches is classified")
def classify(z, norm, head):
    return head(norm(z[:, 1:].mean(axis=1)))


@wrong("PyTorch's dim is here: axis")
def classify(z, norm, head):
    return head(norm(z.mean(dim=1)))


wrong_value("initial_loss", 10, "10 is one over the probability")


def norm_between(self, images):
    z = begin(self, images)
    for block in self.blocks:
        z = block(self.encoder_norm(z))
    return classify_given(z, self.encoder_norm, self.head)


def calls_the_list(self, images):
    return classify_given(self.blocks(begin(self, images)), self.encoder_norm, self.head)


def without_the_first(self, images):
    z = begin(self, images)
    for i in range(1, len(self.blocks)):
        z = self.blocks[i](z)
    return classify_given(z, self.encoder_norm, self.head)


def without_the_last(self, images):
    z = begin(self, images)
    for i in range(len(self.blocks) - 1):
        z = self.blocks[i](z)
    return classify_given(z, self.encoder_norm, self.head)


def every_token(self, images):
    return self.head(self.encoder_norm(through(self, begin(self, images))))


def no_classify(self, images):
    return through(self, begin(self, images))


def reverse(self, images):
    z = begin(self, images)
    for block in reversed(self.blocks):
        z = block(z)
    return classify_given(z, self.encoder_norm, self.head)


def norm_first(self, images):
    return self.head(through(self, self.encoder_norm(begin(self, images)))[:, 0])


def probabilities(self, images):
    return softmax(classify_given(through(self, begin(self, images)), self.encoder_norm, self.head))


changed("the norm acts before each block too", forward=norm_between)
changed("the blocks are a list: call each in a loop", forward=calls_the_list)
changed("one block is left out", forward=without_the_first)
changed("the last block is left out", forward=without_the_last)
changed("every token is classified", forward=every_token)
changed("these are the tokens of the last block", forward=no_classify)
changed("in reverse order", forward=reverse)
changed("apply it after the last", forward=norm_first)
changed("these are probabilities", forward=probabilities)


wrong("the positions of the N patches are missing")(count_with("N * D"))
wrong("it has a weight and a bias")(count_with("D", "2 * D"))
wrong("it has two norms")(count_with(block="2 * D"))
wrong("the bias of fc1 is missing")(count_with(block="M"))
wrong("the head is missing")(count_with("D * K + K"))


@wrong("is None before loss.backward()")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    for p in model.parameters():
        p.data = p.data - lr * p.grad
        p.grad = None
    return loss.item()


@wrong("there is no zero_grad here")
def train_step(model, images, labels, lr):
    model.zero_grad()
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("this is the step: add it to the old weight")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = -lr * p.grad
        p.grad = None
    return loss.item()


@right
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = (image_size // patch_size) ** 2
    T, D, M = N + 1, dim, mlp_dim
    return N * patch_size * patch_size * channels * D + depth * T * D * (4 * D + 2 * M + 2 * T) + D * num_classes


@right
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    def product(a, b, c):
        return a * b * c

    N = image_size**2 // patch_size**2
    total = product(N, patch_size**2 * channels, dim) + product(1, dim, num_classes)
    for _ in range(depth):
        total += product(N + 1, dim, 3 * dim) + product(N + 1, dim, dim)
        total += product(N + 1, dim, N + 1) + product(N + 1, N + 1, dim)
        total += product(N + 1, dim, mlp_dim) + product(N + 1, mlp_dim, dim)
    return total


def multiplications(blocks="T * D * (4 * D + 2 * M + 2 * T)", outside="N * P * P * C * D + D * K", depth="L"):
    """The count with one part as a learner wrote it."""

    def count_multiplications(image_size, patch_size, dim, depth_, mlp_dim, num_classes, channels=3):
        N = (image_size // patch_size) ** 2
        sizes = {
            "N": N, "T": N + 1, "D": dim, "M": mlp_dim, "K": num_classes, "P": patch_size, "C": channels, "L": depth_,
        }  # fmt: skip
        return eval(f"{outside} + {depth} * {blocks}", {}, sizes)

    return count_multiplications


wrong("one of attention's two products is missing")(multiplications("T * D * (4 * D + 2 * M + T)"))
wrong("attention's two products are missing")(multiplications("T * D * (4 * D + 2 * M)"))
wrong("the class token is missing in the blocks")(multiplications("N * D * (4 * D + 2 * M + 2 * N)"))
wrong("the layer `out` is missing")(multiplications("T * D * (3 * D + 2 * M + 2 * T)"))
wrong("only one block is counted")(multiplications(depth="1"))
wrong("count it once")(multiplications(outside="N * P * P * C * D + T * D * K"))
wrong("count it for N tokens")(multiplications(outside="T * P * P * C * D + D * K"))
wrong("use `channels`")(multiplications(outside="N * P * P * 3 * D + D * K"))


@wrong("norm comes first, on D numbers")
def classify(z, norm, head):
    return norm(head(z[:, 0]))


@wrong("softmax is applied twice")
def train_step(model, images, labels, lr):
    loss = cross_entropy(softmax(model(images)), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
        p.grad = None
    return loss.item()


@wrong("is the update inside the loop over parameters?")
def train_step(model, images, labels, lr):
    for p in model.parameters():
        p.grad = None
    loss = cross_entropy(model(images), labels)
    loss.backward()
    p.data = p.data - lr * p.grad
    return loss.item()


@wrong("the weight shrinks too, p.data * (1 - lr): subtract lr * p.grad alone")
def train_step(model, images, labels, lr):
    for p in model.parameters():
        p.grad = None
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data * (1 - lr) - lr * p.grad
    return loss.item()


@wrong("the gradient is divided by its length: subtract lr * p.grad")
def train_step(model, images, labels, lr):
    for p in model.parameters():
        p.grad = None
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad / np.linalg.norm(p.grad)
    return loss.item()


def array_head(self, dim, num_classes, **sizes):
    self.head.weight = np.zeros((dim, num_classes))


def norm_twice(self, images):
    return classify_given(self.encoder_norm(through(self, begin(self, images))), self.encoder_norm, self.head)


changed("head.weight is of type ndarray", array_head)
changed("the norm acts twice", forward=norm_twice)


@wrong("the bias of the head is missing")
def classify(z, norm, head):
    return norm(z[:, 0]) @ head.weight


@wrong("all biases are missing")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    patches = (image_size // patch_size) ** 2
    return (
        patch_size**2 * channels * dim
        + dim
        + (patches + 1) * dim
        + depth * (4 * dim + 4 * dim * dim + 2 * dim * mlp_dim)
        + 2 * dim
        + dim * num_classes
    )


@wrong("the factor 2 is missing: 2 * (dim * mlp_dim)")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    patches = (image_size // patch_size) ** 2
    first = patch_size * patch_size * channels * dim + dim
    tokens = dim + (patches + 1) * dim
    attention = 4 * dim * dim + 4 * dim
    mlp = dim * mlp_dim + dim + mlp_dim
    return first + tokens + depth * (attention + mlp + 4 * dim) + 2 * dim + dim * num_classes + num_classes


@wrong("the gradients are set to 0 after backward(): forget them before")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.grad = np.zeros_like(p.data)
    for p in model.parameters():
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("leaves no gradients: call loss.backward()")
def train_step(model, images, labels, lr):
    for p in model.parameters():
        p.grad = None
    loss = cross_entropy(model(images), labels)
    for p in model.parameters():
        if p.grad is not None:
            p.data = p.data - lr * p.grad
    return loss.item()


@wrong("divided by the number of parameters")
def train_step(model, images, labels, lr):
    parameters = list(model.parameters())
    for p in parameters:
        p.grad = None
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in parameters:
        p.data = p.data - lr * p.grad / len(parameters)
    return loss.item()


@wrong("call loss.backward() once, before the loop")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    for p in model.parameters():
        p.grad = None
        loss.backward()
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("attention's products lack the width: T · T · D each")
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = (image_size // patch_size) ** 2
    T = N + 1
    return (
        N * patch_size**2 * channels * dim
        + depth * (4 * T * dim * dim + 2 * T * T + 2 * T * dim * mlp_dim)
        + dim * num_classes
    )


@wrong("attention's products count each token once")
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    patches = (image_size // patch_size) ** 2
    tokens = patches + 1
    block = 3 * tokens * dim * dim + tokens * dim + tokens * dim + tokens * dim * dim + 2 * tokens * dim * mlp_dim
    return patches * patch_size**2 * channels * dim + depth * block + dim * num_classes


@wrong("PyTorch's zero_ is here: x[...] = 0, and p.grad = None for a gradient")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
        p.grad.zero_()
    return loss.item()


@wrong("N is (image_size // patch_size) ** 2, with parentheses")
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    tokens = image_size // patch_size**2 + 1
    embedding = patch_size**2 * channels * dim + dim + dim + tokens * dim
    block = 4 * dim + 4 * dim * dim + 4 * dim + 2 * dim * mlp_dim + mlp_dim + dim
    return embedding + depth * block + 2 * dim + dim * num_classes + num_classes


@wrong("parentheses are in the wrong place: (image_size // patch_size) comes first in")
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    N = image_size // patch_size**2
    T = N + 1
    block = 4 * T * dim * dim + 2 * T * T * dim + 2 * T * dim * mlp_dim
    return N * patch_size**2 * channels * dim + depth * block + dim * num_classes


@wrong("index z itself, not z.data")
def classify(z, norm, head):
    return head(norm(z.data[:, 0]))


wrong_value("initial_loss", cross_entropy(Tensor(np.zeros((1, 10))), np.array([0])), "add .item()")


@wrong("named_parameters() gives pairs")
def train_step(model, images, labels, lr):
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.named_parameters():
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("call it: model.parameters()")
def train_step(model, images, labels, lr):
    for p in model.parameters:
        p.grad = None
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters:
        p.data = p.data - lr * p.grad
    return loss.item()


@wrong("the patch embedding is counted for one patch")
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    tokens = (image_size // patch_size) ** 2 + 1
    block = 4 * tokens * dim**2 + 2 * tokens**2 * dim + 2 * tokens * dim * mlp_dim
    return patch_size**2 * channels * dim + depth * block + dim * num_classes
