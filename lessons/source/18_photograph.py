# %% [markdown]
# # 18 · A photograph: published weights look at your picture
#
# *Comes after lessons [09](09_vit.ipynb), [12](12_inside.ipynb) and [13](13_finetuning.ipynb). In the paper: section 4.5 and
# Fig. 6.*
#
# You will take a picture from your phone, prepare it as published weights expect it, and ask them three questions: what is it,
# where does each attention head look, and which part of the picture does the answer depend on? The last two do not have the same
# answer.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.images.decoding import resize_image
from minivit_lessons.photographs import NAMES, photograph, recorded_maps, viewer
from minivit_lessons.pictures import photograph as pictures
from minivit_lessons.pictures.cells import Cells, draw_cells

roll_out = built("roll_out")

# %% [markdown]
# ## The question
#
# So far every image was a drawn shape of 32 x 32 pixels, and every model knew ten classes. The models that people use were
# trained on millions of photographs. ImageNet's training set alone has 1.28 million, of 1,000 classes. Their weights are files
# that anybody can download, and the numbers in them fit the class that you wrote in lesson 09.
#
# Your phone's picture does not fit them. It has some 4,000 x 3,000 pixels, it is not square, and its colours are bytes. A
# patch of 16 pixels would give 250 x 187 patches, a sequence of 46,750 tokens. What must happen to the picture first, and what
# can we learn from the model's answer?

# %% [markdown]
# ## The picture
#
# Four photographs come with this lesson (their sources are in [photographs/README.md](../lessons/photographs/README.md)). Beside each you see what
# DINOv2, a ViT-S/14 of 22 million parameters, attends to. It was trained without any labels on 142 million photographs. The
# next four columns show the attention of the class token in the last block, a column for each of four heads: the patch with the most
# attention keeps its colours, a patch without any is grey. The last column is lesson 12's attention rollout.
#
# The weights are a file of 88 MB, so these maps were recorded once and are stored beside the lesson in 13 kB. Everything further
# down is computed when you run it.

# %%
recorded = recorded_maps()  # "heads": (4, 6, 16, 16), "rollout": (4, 16, 16)

photographs = [photograph(name) for name in NAMES]
show(pictures.draw_seen(photographs, recorded["heads"], recorded["rollout"], (0, 2, 5, 3)), pictures.SEEN, dpi=70)

# %% [markdown]
# Nobody told this model what an object is. Three of these heads attend to the object: the cup, the rocket with its towers, the
# clock. Head 3 attends to what surrounds it. The cat fills the picture: here each head attends to another part of the face.
# Rollout fails here: on three of the photographs a single patch gets more than twenty times the mean of all patches, and it shows
# nothing in particular. On our model of ten shapes rollout passed its test (lesson 12). A method that worked on one model must be
# tested again on the next.
#
# ## One number at a time
#
# Everything that happens to an image before the model sees it is its **preprocessing**. It belongs to the weights: they were
# trained with one preprocessing, and they expect the same later. For a photograph it has three parts:
#
# 1. **Centre crop**: keep the largest square in the middle, since the model takes square images.
# 2. Resize the square to the model's image size, here 224 x 224 pixels.
# 3. Rescale the bytes from 0 to 255 to floats from -1 to 1, as in lesson 00.
#
# `minivit` does the second and the third. The first is yours.


# %% exercise="centre_square"
def centre_square(pixels):
    """The largest square in the middle of an image: (H, W, 3) -> (S, S, 3), where S is the smaller of H and W."""
    # --- solution
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
    # --- end


# %% [markdown]
# Now choose. `PICTURE` is one of the four names or the path of your own file, such as `"holiday/dog.jpg"`. `WEIGHTS` is a
# published name with a head (`minivit models` lists them). ViT-Ti/16 is the smallest: 5.7 million parameters, 1,000 classes, 23 MB. It is downloaded once, into the folder
# `data/weights` beside this notebook. Without an internet connection a small model of ours and a drawn shape take the place of both, and
# the line below the cell says so.

# %%
PICTURE = "coffee"  # "cat", "rocket", "clock", or the path of your picture
WEIGHTS = "ViT-Ti_16-224-augreg"  # "" for the stand-in

square = centre_square(photograph(PICTURE))
show(pictures.draw_steps(photograph(PICTURE), resize_image(square, 224, 224), 16), pictures.STEPS, dpi=60)
looking = viewer(WEIGHTS, square)
model, picture, classes = looking.model, looking.picture, looking.classes
front, (rows, columns) = model.config.num_front_tokens, model.config.grid
print(f"picture {picture.shape}, {rows} x {columns} patches, {len(classes):,} classes such as {', '.join(classes[:3])}")

# %% [markdown]
# The head returns a logit for each class. Softmax turns logits into probabilities, and we read the largest five. Why five?
# Photographs often show several things, and ImageNet's classes are fine: more than a hundred of them are breeds of dogs. So results on ImageNet
# are reported twice, as accuracy and as top-5 accuracy, the share of test images whose label is among the five most probable classes.


# %% exercise="top_classes"
def top_classes(logits, names, k=5):
    """The k most probable classes, the most probable first: logits (K,) -> a list of k pairs (name, probability)."""
    # --- solution
    powers = np.exp(logits - logits.max())
    probabilities = powers / powers.sum()
    best = np.argsort(-probabilities)[:k]
    return [(names[i], float(probabilities[i])) for i in best]
    # --- end


# %%
with minivit.no_grad():
    logits, seen = model(minivit.preprocess(picture[None]), return_intermediates=True)
top = top_classes(logits.data[0], classes)
show(pictures.draw_top(picture, top), pictures.GUESSES)
for name, probability in top:
    print(f"{probability:6.1%}  {name}")

# %% [markdown]
# The probabilities of all classes add up to 1, so the model always answers, even if your picture shows none of its
# classes. A probability of 90 % says that one logit is far above the others. It does not say that nine of ten such answers are
# right; that would have to be measured on labelled images.

# %% [markdown]
# ## All at once
#
# Where does each head look? In the last block the class token, token 0, gathers what the classification head reads. Row 0 of
# the attention weights says from where. The columns begin with the tokens in front of the patches: the class token itself, and in some
# models a few **register tokens**, extra learned tokens without a place in the image. `front` is their number. What is left is a
# number for each patch, which can be laid out as the patches are. Such a map of what matters to a model is a **saliency map**.


# %% exercise="head_maps"
def head_maps(weights, front, rows, columns):
    """The class token's attention to the patches: one image's (heads, T, T) -> (heads, rows, columns)."""
    # --- solution
    return weights[:, 0, front:].reshape(-1, rows, columns)
    # --- end


# %% [markdown]
# In the first picture the patch with the most attention keeps its colours, even if all patches have nearly as much. DINO's
# authors draw something stricter: the patches that together hold 60 % of a head's attention. If these are few, the head has chosen.


# %% exercise="attention_mask"
def attention_mask(values, share):
    """The fewest patches that together hold `share` of the sum of a map (h, w): booleans (h, w)."""
    # --- solution
    order = np.argsort(-values, axis=None)  # the patches' numbers, the largest value first
    held = np.cumsum(values.ravel()[order]) / values.sum()  # what the first 1, 2, 3 ... patches hold
    count = int((held < share).sum()) + 1  # the first count that reaches the share
    mask = np.zeros(values.size, bool)
    mask[order[:count]] = True
    return mask.reshape(values.shape)
    # --- end


# %%
depth = model.config.depth
layers = [seen[f"blocks.{i}.attention.weights"] for i in range(depth)]  # each (1, heads, T, T)
maps = head_maps(layers[-1][0], front, rows, columns)
masks = np.stack([attention_mask(values, 0.6) for values in maps])
show(pictures.draw_head_maps(picture, maps, masks), pictures.HEADS)
for photo, name in enumerate(NAMES):
    sizes = [attention_mask(values, 0.6).sum() for values in recorded["heads"][photo]]
    print(f"DINOv2's six heads, {name}: {', '.join(map(str, sizes))} of 256 patches hold 60 %")

# %% [markdown]
# The printed lines are for the recorded maps of DINOv2. On the cat its head 3 puts 60 % of its attention on 11 patches at
# the border, others spread theirs over a third of the picture. If attention were uniform, 60 % would take 154 patches of 256.
#
# ## Your turn
#
# Attention says what the class token reads. It does not say what would happen to the answer without it. For that there is a
# direct experiment, the **occlusion test**: hide one place of the picture behind a grey square, ask the model again, and note how much
# the probability of the class falls. Then move the square to the next place.


# %% exercise="occlusion_map"
def occlusion_map(predict, image, label, side, fill=128):
    """How much hiding each place lowers the probability of class `label`: (H, W, 3) -> (H // side, W // side).

    `predict` takes images (B, H, W, 3) with integers from 0 to 255, and returns probabilities (B, K).
    """
    drops = np.zeros((image.shape[0] // side, image.shape[1] // side))
    # --- solution
    whole = predict(image[None])[0, label]
    for row, column in np.ndindex(drops.shape):
        hidden = image.copy()
        hidden[row * side : (row + 1) * side, column * side : (column + 1) * side] = fill
        drops[row, column] = whole - predict(hidden[None])[0, label]
    # --- end
    return drops


# %%
label = classes.index(top[0][0])  # the class that the model finds most probable
side = picture.shape[0] // 8  # 8 x 8 places
drops = occlusion_map(model.predict, picture, label, side)
whole = attention_mask(np.maximum(drops, 0) + 1e-9, 0.6).sum()  # 1e-9: the sum is never 0
print(f"class {classes[label]}: hiding one place lowers its probability by up to {100 * drops.max():.0f} points")
print(f"{whole} of 64 places hold 60 % of all falls; hiding {int((drops < -0.001).sum())} places raises it")
show(pictures.draw_occlusion(picture, {"grey (128)": drops}), pictures.PLACE)

# %% [markdown]
# Compare three maps by one number, their rank correlation: 1 if both put the places in the same order, 0 if the orders have
# nothing in common. The maps of patches are averaged to the 8 x 8 places first.


# %%
def to_places(values, count=8):
    """A map (h, w), averaged to count x count places, or unchanged if it cannot be."""
    h, w = values.shape
    spread = np.repeat(np.repeat(values, count, axis=0), count, axis=1)  # (h * count, w * count)
    return spread.reshape(count, h, count, w).mean(axis=(1, 3))


def rank_correlation(a, b):
    ranks = [np.argsort(np.argsort(values, axis=None)) for values in (a, b)]
    return np.corrcoef(*ranks)[0, 1]


rollout = roll_out(layers)[0, 0, front:].reshape(rows, columns)
for name, values in (("the last block's attention", maps.mean(axis=0)), ("rollout", rollout)):
    print(f"occlusion and {name}: {rank_correlation(drops, to_places(values)):.2f}")

# %% [markdown]
# The attention maps say what the model reads. The occlusion test says what the answer depends on. The two orders differ: with the
# stand-in, the correlation with the occlusion test is near 0 for the last block's attention, and clearly positive for rollout.
#
# One task is left over from the pictures above: a map has a number for each patch, an image a number for each pixel. To multiply
# the two, the map must be spread. The library's way is one call of `np.repeat` for each axis. Your way is a puzzle.


# %% exercise="spread_map"
def spread_map(values, rows, columns, P):
    """Each patch's number, repeated for its P x P pixels: (rows, columns) -> (rows * P, columns * P)."""
    # --- solution
    return (values.reshape(rows, 1, columns, 1) * np.ones((1, P, 1, P))).reshape(rows * P, columns * P)
    # --- end


# %%
small = np.arange(1.0, 7.0).reshape(2, 3)
right = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
show(
    draw_cells([Cells("values", small), "→", Cells("yours", spread_map(small, 2, 3, 2)), Cells("right", right)]),
    pictures.SPREAD,
)

# %% [markdown]
# ## In the paper
#
# Fig. 6 shows the attention of ViT-L/16 on photographs, by rollout, which mixes all heads and all layers (lesson 12). Section 4.5 concludes that
# the model attends to regions that are semantically relevant for classification. ViT-Ti/16 is a later and smaller model of the same kind.
#
# | paper | here | in `minivit` |
# |---|---|---|
# | Fig. 6: attention on photographs | `roll_out`, lesson 12 | `minivit inspect --weights NAME` |
# | Eq. 4: the class token is read | row 0 in `head_maps` | `insight.class_token_attention` |
# | Tables 3 and 4: images of 224 and 384 pixels | `centre_square`, `resize_image` | `minivit predict cat.jpg --weights NAME` |
# | Table 5: accuracy on ImageNet | `top_classes` | `minivit evaluate` |

# %% [markdown]
# ## Break it and see
#
# An occlusion test has a free choice in it: the colour of the square. It is 128 above, a middle grey. Does it matter? **Guess
# first**: will a black square and a square of the picture's mean colour show the same places?

# %%
mean = picture.mean(axis=(0, 1)).astype(np.uint8)
fills = {"grey (128)": 128, "black (0)": 0, "the mean colour": mean}
found = {name: occlusion_map(model.predict, picture, label, side, fill) for name, fill in fills.items()}
show(pictures.draw_occlusion(picture, found), pictures.PLACES)
for name, values in found.items():
    print(f"{name:16} {int((values > 0.1).sum()):2} of 64 places lower the probability by more than 10 points")

# %% [markdown]
# <details><summary>What happens, and why</summary>
#
# With the crescent of the stand-in, a black square lowers the probability at more places than a grey one. A square does not
# only hide something: it adds something too. This crescent is dark, so a black block at its edge looks like a part of the shape:
# at the lower left it makes the model see a disc. A test that changes the picture measures two things at once: what was taken away and what was put
# there. So do what you would do with any instrument: try more than one square, and believe what they agree on.
#
# A second trap is the size. A square of a single patch hides too little if neighbouring patches show the same. Halve `side` and
# compare.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# torchvision has the preprocessing as `transforms.v2`, and every part of this lesson is a line of PyTorch:
#
# ```python
# S = min(image.size)  # `image` is a Pillow image
# crop_and_resize = [v2.ToImage(), v2.CenterCrop(S), v2.Resize((224, 224))]
# prepare = v2.Compose([*crop_and_resize, v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
# values, indices = torch.topk(logits.softmax(-1), 5)
# maps = weights[:, 0, front:].unflatten(-1, (rows, columns))
# large = F.interpolate(maps[None], scale_factor=P, mode="nearest")
# ```
#
# What differs: images are (B, C, H, W), channels first. `torch.topk` returns values and indices, sorted. `nn.MultiheadAttention`
# returns the mean over the heads unless you pass `average_attn_weights=False`; `F.scaled_dot_product_attention` returns no weights at
# all. `interpolate` takes a batch and channels before the two axes of the map.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    values, indices = torch.topk(torch.softmax(torch.tensor(logits.data[0]), -1), 5)
    agree("top_classes", [probability for _, probability in top], values, tolerance=1e-5)
    weights = torch.tensor(layers[-1][0])
    agree("head_maps", maps, weights[:, 0, front:].unflatten(-1, (rows, columns)))
    enlarged = torch.nn.functional.interpolate(torch.tensor(maps)[None], scale_factor=4, mode="nearest")[0]
    agree("spread_map", np.stack([spread_map(values, rows, columns, 4) for values in maps]), enlarged)

# %% [markdown]
# ## What came before and after
#
# - ImageNet's challenge ([Russakovsky et al., 2014](https://arxiv.org/abs/1409.0575)) made millions of photographs in hundreds of
#   categories the field's common measure; top-5 accuracy comes from there.
# - [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901) asked why large convolutional networks work, and hid parts of images
#   behind a grey square to see where the answer comes from. That is the occlusion test.
# - Grad-CAM ([Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391)) takes a single backward pass instead of many forward passes: the gradient
#   of one class's score, at the last convolutional layer, gives a coarse map for that class. Attention maps do not depend on the class.
# - DINO ([Caron et al., 2021](https://arxiv.org/abs/2104.14294)) found that features of a ViT trained without labels hold
#   explicit information about the segmentation of an image, more clearly than those of a ViT trained with labels.
# - Registers ([Darcet et al., 2023](https://arxiv.org/abs/2309.16588)): in many ViTs a few patches, mostly in background with little
#   information, become tokens of a large norm, which the model uses for computations of another kind. Additional tokens in the input take
#   over that work, and the maps become smooth. Single patches that glow without reason, as in the rollouts above, may be of this kind.

# %% [markdown]
# ## Summary
#
# - Preprocessing belongs to the weights: centre crop, resize, rescale.
# - A classifier always answers. Read five classes, and remember that probabilities are not measured accuracies.
# - Row 0 of the last block's attention is a saliency map for each head; a mask of the patches that hold 60 % is stricter.
# - Attention says what is read, the occlusion test what the answer depends on, and its square is a part of the experiment.

# %% [markdown]
# ## What comes next
#
# One picture proves little. In [lesson 19](19_cifar.ipynb) you train on 50,000 small photographs and measure ten thousand answers,
# class by class.
