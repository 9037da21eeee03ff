// The Vision Transformer (arXiv 2010.11929) for a browser, laid out as minivit/models/vit.py is, with its names.
//
//   N  patches of the image    P  a patch's side     D    width of a token    D_h  width of a head, D / heads
//   T  tokens: N, and 1 for the class token          L    encoder blocks      K    classes
//
// An array is {data: Float32Array, shape: [rows, columns]}, in row order. Comments tag what a line is in the paper:
// `ViT (2)` is its Eq. 2. `edits` are what the visitor changed; `seen` collects every intermediate by name.
"use strict";

const array = (rows, columns) => ({ data: new Float32Array(rows * columns), shape: [rows, columns] });

/** What the visitor may change: nothing is changed yet. */
function noEdits(config) {
  return {
    positions: true,                       // add E_pos?
    temperature: 1,                        // scores are divided by it, beside √D_h
    order: null,                           // which patch lies at each place; null: each at its own
    blocksOff: [],                         // blocks that pass their tokens on unchanged
    residualOff: [],                       // blocks that do not add their input
    headsOff: [],                          // heads that gather nothing, as "block.head"
  };
}

/** The logits of one image and every number on the way to them: {logits, probabilities, lens, ...} by name. */
function vit(model, pixels, edits = noEdits(model.config)) {
  const { config, weights } = model;
  const seen = {};
  let z = embed(model, pixels, edits, seen);                                  // (N, D)
  if (weights.cls) z = stacked(weights.cls, z);                               // [x_class; x_p E], (T, D)   ViT (1)
  seen.withClass = z;
  if (weights.positions && edits.positions) z = plus(z, weights.positions);   // + E_pos                    ViT (1)
  seen.tokens = [z];
  seen.blocks = [];
  for (let l = 0; l < config.depth; l++) {
    const block = { on: !edits.blocksOff.includes(l) };
    if (block.on) z = encoderBlock(model, z, l, edits, block);
    seen.blocks.push(block);
    seen.tokens.push(z);
  }
  seen.representation = represent(model, z);                                  // y, (1, D)                  ViT (4)
  seen.logits = linear(seen.representation, weights.head);                    // (1, K)
  seen.probabilities = softmaxRows(seen.logits);
  seen.lens = seen.tokens.map(each => softmaxRows(linear(represent(model, each), weights.head)));  // after each block
  return seen;
}

/** Cut the image into patches and map each by the same E: (H, W, C) -> (N, D). */
function embed({ config, weights }, pixels, edits, seen) {
  seen.patches = patchify(pixels, config, edits.order);                       // (N, P² C)
  seen.embedding = linear(seen.patches, weights.embedding);                   // x_p E + b, (N, D)
  return seen.embedding;
}

/** The patches in raster order, each as a row of its P² C numbers. */
function patchify(pixels, { image_size: [height, width], patch_size: P, channels: C }, order) {
  const across = Math.floor(width / P), N = Math.floor(height / P) * across;
  const patches = array(N, P * P * C);
  for (let n = 0; n < N; n++) {
    const from = order ? order[n] : n;
    const top = Math.floor(from / across) * P, left = (from % across) * P;
    for (let y = 0; y < P; y++) {
      const row = ((top + y) * width + left) * C;
      patches.data.set(pixels.subarray(row, row + P * C), n * P * P * C + y * P * C);
    }
  }
  return patches;
}

/** One block of the Transformer encoder: (T, D) -> (T, D). */
function encoderBlock({ config, weights }, z, l, edits, seen) {
  const block = weights.blocks[l], adds = !edits.residualOff.includes(l);
  seen.norm1 = layerNorm(z, block.norm1, config);
  seen.attention = attention(seen.norm1, block, l, config, edits, seen);
  seen.middle = adds ? plus(scaled(seen.attention, block.scale1), z) : scaled(seen.attention, block.scale1);  // ViT (2)
  seen.norm2 = layerNorm(seen.middle, block.norm2, config);
  seen.mlp = mlp(seen.norm2, block, config, seen);
  return adds ? plus(scaled(seen.mlp, block.scale2), seen.middle) : scaled(seen.mlp, block.scale2);           // ViT (3)
}

/** Every token gathers from every token, once for each head: (T, D) -> (T, D). */
function attention(z, block, l, { heads, dim: D }, edits, seen) {
  const T = z.shape[0], D_h = D / heads;
  const qkv = linear(z, block.qkv);                                           // (T, 3 D)                   ViT (5)
  const gathered = array(T, D);
  seen.heads = [];
  for (let h = 0; h < heads; h++) {
    const [q, k, v] = [0, 1, 2].map(i => columns(qkv, i * D + h * D_h, D_h)); // (T, D_h) each
    const scores = timesTransposed(q, k, 1 / Math.sqrt(D_h));                 // q kᵀ / √D_h, (T, T)        ViT (6)
    const A = softmaxRows(scores, edits.temperature);                         // (T, T)                     ViT (6)
    const on = !edits.headsOff.includes(`${l}.${h}`);
    const head = on ? times(A, v) : array(T, D_h);                            // A v, (T, D_h)              ViT (7)
    for (let t = 0; t < T; t++) {
      gathered.data.set(head.data.subarray(t * D_h, (t + 1) * D_h), t * D + h * D_h);
    }
    seen.heads.push({ on, q, k, v, scores, A, head });
  }
  seen.gathered = gathered;                                                   // heads side by side, (T, D)
  return linear(gathered, block.out);                                         //                            ViT (8)
}

/** Two layers with an activation function between them, on each token separately: (T, D) -> (T, D).   ViT §3.1 */
function mlp(z, block, config, seen) {
  seen.hidden = linear(z, block.fc1);                                         // (T, MLP)
  seen.activated = activation(seen.hidden, config.gelu);
  return linear(seen.activated, block.fc2);
}

/** What the head reads of the tokens: the class token, or the mean of the patches: (T, D) -> (1, D).  ViT (4), D.3 */
function represent({ config, weights }, z) {
  const norm = z => layerNorm(z, weights.encoder_norm, config);
  if (config.classifier === "token") return norm(rows(z, 0, 1));
  const patches = weights.cls ? rows(z, 1, z.shape[0] - 1) : z;
  return config.pool_before_norm ? norm(mean(patches)) : mean(norm(patches));
}

// -- layers ---------------------------------------------------------------------------------------------------

/** x W + b: (T, in), (in, out), (out) -> (T, out). */
function linear(x, { weight, bias }) {
  const y = times(x, weight);
  if (bias) for (let i = 0; i < y.data.length; i++) y.data[i] += bias.data[i % bias.data.length];
  return y;
}

/** Each row centred and divided by its standard deviation, times weight, plus bias. */
function layerNorm(x, { weight, bias }, { norm_eps }) {
  const [T, D] = x.shape, y = array(T, D);
  for (let t = 0; t < T; t++) {
    let sum = 0, squares = 0;
    for (let d = 0; d < D; d++) sum += x.data[t * D + d];
    const mu = sum / D;
    for (let d = 0; d < D; d++) squares += (x.data[t * D + d] - mu) ** 2;
    const scale = 1 / Math.sqrt(squares / D + norm_eps);
    for (let d = 0; d < D; d++) {
      y.data[t * D + d] = (x.data[t * D + d] - mu) * scale * weight.data[d] + (bias ? bias.data[d] : 0);
    }
  }
  return y;
}

/** Each row turned into positive numbers with sum 1, after division by the temperature. */
function softmaxRows(x, temperature = 1) {
  const [T, K] = x.shape, y = array(T, K);
  for (let t = 0; t < T; t++) {
    let largest = -Infinity, sum = 0;
    for (let k = 0; k < K; k++) largest = Math.max(largest, x.data[t * K + k]);
    for (let k = 0; k < K; k++) sum += y.data[t * K + k] = Math.exp((x.data[t * K + k] - largest) / temperature);
    for (let k = 0; k < K; k++) y.data[t * K + k] /= sum;
  }
  return y;
}

const ACTIVATIONS = {
  tanh: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  erf: x => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  quick: x => x / (1 + Math.exp(-1.702 * x)),
  relu: x => Math.max(0, x),
};

/** The error function, to 1.5e-7: formula 7.1.26 of Abramowitz and Stegun's Handbook of Mathematical Functions (1964). */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

function activation(x, form) {
  return { data: x.data.map(ACTIVATIONS[form]), shape: x.shape };
}

// -- arrays ---------------------------------------------------------------------------------------------------

/** a b: (T, I), (I, J) -> (T, J). The innermost loop runs along memory, for four rows of b: 1.8 times as fast as one. */
function times(a, b) {
  const [T, I] = a.shape, J = b.shape[1], c = array(T, J), four = I - I % 4, m = b.data;
  for (let t = 0; t < T; t++) {
    const row = c.data.subarray(t * J, (t + 1) * J), x = a.data.subarray(t * I, (t + 1) * I);
    for (let i = 0; i < four; i += 4) {
      const x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
      const b0 = i * J, b1 = b0 + J, b2 = b1 + J, b3 = b2 + J;
      for (let j = 0; j < J; j++) row[j] += x0 * m[b0 + j] + x1 * m[b1 + j] + x2 * m[b2 + j] + x3 * m[b3 + j];
    }
    for (let i = four; i < I; i++) for (let j = 0; j < J; j++) row[j] += x[i] * m[i * J + j];
  }
  return c;
}

/** a bᵀ times a factor: (T, I), (S, I) -> (T, S). */
function timesTransposed(a, b, factor) {
  const [T, I] = a.shape, S = b.shape[0], c = array(T, S);
  for (let t = 0; t < T; t++) {
    for (let s = 0; s < S; s++) {
      let sum = 0;
      for (let i = 0; i < I; i++) sum += a.data[t * I + i] * b.data[s * I + i];
      c.data[t * S + s] = sum * factor;
    }
  }
  return c;
}

/** a + b, element by element. */
function plus(a, b) {
  return { data: a.data.map((number, i) => number + b.data[i]), shape: a.shape };
}

/** Each column times its factor (LayerScale); without factors, x itself. */
function scaled(x, factors) {
  return factors ? { data: x.data.map((number, i) => number * factors.data[i % factors.data.length]), shape: x.shape } : x;
}

/** Some rows. */
function rows(x, from, count) {
  const width = x.shape[1];
  return { data: x.data.slice(from * width, (from + count) * width), shape: [count, width] };
}

/** Some columns. */
function columns(x, from, count) {
  const [T, width] = x.shape, y = array(T, count);
  for (let t = 0; t < T; t++) y.data.set(x.data.subarray(t * width + from, t * width + from + count), t * count);
  return y;
}

/** The rows of a above those of b. */
function stacked(a, b) {
  const y = array(a.shape[0] + b.shape[0], b.shape[1]);
  y.data.set(a.data);
  y.data.set(b.data, a.data.length);
  return y;
}

/** The mean of all rows, as one row. */
function mean(x) {
  const [T, D] = x.shape, y = array(1, D);
  for (let t = 0; t < T; t++) for (let d = 0; d < D; d++) y.data[d] += x.data[t * D + d] / T;
  return y;
}

if (typeof module !== "undefined") module.exports = { vit, noEdits };
