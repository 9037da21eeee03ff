// What the visitor sees and changes. vit.js computes in a worker; this file draws its numbers, and nothing else does.
"use strict";

const page = JSON.parse(document.getElementById("model").textContent);
const { config, classes, samples, training } = page;
const [HEIGHT, WIDTH] = config.image_size, P = config.patch_size, [ROWS, COLUMNS] = config.grid;
const N = ROWS * COLUMNS, FRONT = config.class_token ? 1 : 0, T = N + FRONT, D = config.dim;
const element = id => document.getElementById(id);
const MOMENTS = training ? training.steps.length : 1;    // models in the page: the snapshots, and the model as the last
const SMALL = Math.max(HEIGHT, WIDTH) <= 64;             // pixels are shown as squares, and fit into a link

const state = { pixels: new Uint8Array(HEIGHT * WIDTH * 3), edits: noEdits(config), token: 0, block: 0,
  head: 0, sample: 0, tool: "choose", moment: MOMENTS - 1 };
const models = [];                                       // the model at each moment, once the worker has read it
let model = null;                                        // the one that gave the last answer
let seen = null;                                         // every number of the last answer
let picked = null;                                       // the patch that is to be swapped with the next one
let placed = null;                                       // the visitor's picture, its zoom and its place

// -- computing ----------------------------------------------------------------------------------------------

const WORKER = `
const models = [];
onmessage = ({ data }) => {
  const { moment } = data;
  if (data.page) {
    models[moment] = modelOf(data.page, data.text);
    postMessage({ moment, numbers: numbersOf(data.text, data.page.dtype) });
  } else {
    const seen = vit(models[moment], scaledPixels(data.pixels, data.scaling), data.edits);
    const buffers = new Set();
    JSON.stringify(seen, (_, each) => each instanceof Float32Array ? void buffers.add(each.buffer) : each);
    postMessage({ moment, seen }, [...buffers]);
  }
};`;

let busy = false, waiting = false;                       // the newest change is computed when the last is done
const worker = new Worker(URL.createObjectURL(new Blob(
  [element("vit").textContent, element("weights-reader").textContent, WORKER], { type: "text/javascript" })));
worker.onerror = event => say(`the model does not run in this browser: ${event.message}`);
worker.onmessage = ({ data }) => {
  if (data.numbers) {
    models[data.moment] = placedModel(page, data.numbers);
    return;
  }
  busy = false;
  model = models[data.moment];
  seen = data.seen;
  document.body.dataset.answers = Number(document.body.dataset.answers || 0) + 1;
  if (waiting) compute();
  redraw();
};

/** Let the worker read the weights of a moment, the first time that they are needed. */
function load(moment) {
  if (moment in models) return;
  models[moment] = null;                                 // asked for
  const own = moment === MOMENTS - 1, dtype = own ? page.dtype : training.dtypes[moment];
  const text = own ? weightsText : snapshotTexts[moment];
  worker.postMessage({ moment, page: { config, weights: page.weights, dtype }, text });
}

/** Compute the answer of the chosen moment's model for the present pixels and edits. */
function compute() {
  waiting = busy;
  if (busy) return;
  busy = true;
  load(state.moment);
  worker.postMessage({ moment: state.moment, scaling: page.scaling, pixels: state.pixels, edits: state.edits });
}

function changed() {
  arrange();
  drawStage();
  showSwitches();
  compute();
}

function say(text) {
  element("said").textContent = text;
}

// -- drawing ------------------------------------------------------------------------------------------------

const panels = [];                                       // {canvas, draw, visible}
const onScreen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const panel = panels.find(each => each.canvas === entry.target);
    panel.visible = entry.isIntersecting;
    if (panel.visible) enqueue(panel);
  }
}, { rootMargin: "200px" });
const queue = new Set();
let scheduled = false;

/** Draw what is on the screen, a few milliseconds in each frame, so that the page never stalls. */
function redraw() {
  drawStage();
  showAnswer();
  for (const panel of panels) if (panel.visible) enqueue(panel);
}

function enqueue(panel) {
  queue.add(panel);
  if (!scheduled) requestAnimationFrame(drawSome);
  scheduled = true;
}

function drawSome() {
  const until = performance.now() + 8;
  for (const panel of queue) {
    queue.delete(panel);
    if (seen) panel.draw(panel);
    if (performance.now() > until) break;
  }
  scheduled = queue.size > 0;
  if (scheduled) requestAnimationFrame(drawSome);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => redraw());

/** A colour for a number from -1 to 1: blue below 0, orange above, the paper's colour at 0. */
function colour(number) {
  const ground = dark.matches ? [22, 24, 27] : [255, 255, 255];
  const end = number < 0 ? (dark.matches ? [86, 180, 233] : [0, 114, 178]) : (dark.matches ? [230, 159, 0] : [213, 94, 0]);
  const share = Math.min(1, Math.abs(number));
  return ground.map((g, i) => g + share * (end[i] - g));
}

const small = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });

/** Draw the image as the model gets it, with its patches in their present order, into the canvas `small`. */
function arrange() {
  const image = new ImageData(WIDTH, HEIGHT), order = state.edits.order;
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const row = Math.floor(y / P), column = Math.floor(x / P), n = row * COLUMNS + column;
      const inside = row < ROWS && column < COLUMNS && order;
      const from = inside ? order[n] : n;
      const sy = inside ? Math.floor(from / COLUMNS) * P + y % P : y, sx = inside ? (from % COLUMNS) * P + x % P : x;
      for (let c = 0; c < 3; c++) image.data[4 * (y * WIDTH + x) + c] = state.pixels[3 * (sy * WIDTH + sx) + c];
      image.data[4 * (y * WIDTH + x) + 3] = 255;
    }
  }
  small.getContext("2d").putImageData(image, 0, 0);
}

/** Draw the image, each patch as bright as its weight; the chosen patch has a frame. */
function drawImage(canvas, weights, largest) {
  const scale = Math.max(1, Math.floor((largest || 256) / Math.max(HEIGHT, WIDTH)));
  canvas.width = WIDTH * scale;
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = !SMALL;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  const most = weights ? Math.max(...weights) : 1, side = P * scale;
  for (let n = 0; n < N; n++) {
    const x = (n % COLUMNS) * side, y = Math.floor(n / COLUMNS) * side;
    if (weights) {
      context.fillStyle = `rgba(0, 0, 0, ${0.72 * (1 - weights[n] / most)})`;
      context.fillRect(x, y, side, side);
    } else if (side >= 12) {
      context.strokeStyle = "rgba(128, 128, 128, 0.5)";
      context.strokeRect(x + 0.5, y + 0.5, side, side);
    }
    if (n === state.token - FRONT || n === picked) {
      context.lineWidth = 3;
      context.strokeStyle = n === picked ? "#d55e00" : "#e69f00";
      context.strokeRect(x + 1.5, y + 1.5, side - 3, side - 3);
      context.lineWidth = 1;
    }
  }
}

function drawStage() {
  drawImage(element("stage"), null, 352);
  element("chosen").textContent = `chosen: ${tokenName(state.token)}`;
}

function tokenName(t) {
  if (t < FRONT) return "the class token";
  const n = t - FRONT;
  return `patch ${n + 1} (row ${Math.floor(n / COLUMNS) + 1}, column ${n % COLUMNS + 1})`;
}

/** Bars with names and shares, the largest first. */
function bars(parent, entries) {
  parent.className = "bars";
  parent.replaceChildren(...entries.flatMap(([name, share]) => {
    const [label, bar, number] = ["name", "bar", "number"].map(kind => {
      const part = document.createElement("span");
      part.className = kind;
      return part;
    });
    label.textContent = name;
    bar.style.width = `${100 * share}%`;
    number.textContent = `${(100 * share).toFixed(1)} %`;
    return [label, bar, number];
  }));
}

function best(probabilities, count) {
  return [...probabilities].map((p, k) => [k, p]).sort((a, b) => b[1] - a[1]).slice(0, count);
}

function showAnswer() {
  bars(element("answer"), best(seen.probabilities.data, 5).map(([k, p]) => [classes[k], p]));
}

// -- matrices -----------------------------------------------------------------------------------------------

/** A figure with a title and a canvas in a live part of the page. */
function figure(parent, title, label) {
  const outer = document.createElement("figure"), caption = document.createElement("figcaption");
  const canvas = document.createElement("canvas");
  caption.textContent = title;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label || title);
  outer.append(canvas, caption);
  parent.append(outer);
  return { canvas, caption, outer };
}

function live(id) {
  const found = element(id);
  return found.classList.contains("live") ? found : found.querySelector(".live");
}

function addPanel(made, draw) {
  const panel = { ...made, draw, visible: false };
  panels.push(panel);
  onScreen.observe(panel.canvas);
  return panel;
}

/**
 * A matrix drawn as cells, which opens to its numbers; a click on a cell says where its number comes from.
 * `get` returns {array, explain(row, column), rowName(row)} of the present answer, or null if there is none.
 */
function matrix(parent, title, get) {
  const made = figure(live(parent), title, `${title}: a matrix as coloured cells, blue below 0 and orange above`);
  const open = document.createElement("button"), explained = document.createElement("p");
  open.textContent = "numbers";
  open.setAttribute("aria-label", `the numbers of ${title}`);
  explained.className = "explained";
  made.caption.append(open);
  made.outer.append(explained);
  open.onclick = () => showNumbers(title, get());
  made.canvas.onclick = event => {
    const found = get();
    if (!found) return;
    const [rows, columns] = found.array.shape, box = made.canvas.getBoundingClientRect();
    const row = Math.min(rows - 1, Math.floor((event.clientY - box.top) / box.height * rows));
    const column = Math.min(columns - 1, Math.floor((event.clientX - box.left) / box.width * columns));
    explained.textContent = `${found.rowName(row)}, column ${column + 1}: ${found.explain(row, column)}`;
  };
  addPanel(made, panel => {
    const found = get();
    made.outer.hidden = !found;
    if (found) drawMatrix(panel.canvas, found);
  });
}

function drawMatrix(canvas, { array, chosen }) {
  const [rows, columns] = array.shape, image = new ImageData(columns, rows);
  let most = 0;
  for (const number of array.data) most = Math.max(most, Math.abs(number));
  for (let i = 0; i < array.data.length; i++) {
    const [r, g, b] = colour(most ? array.data[i] / most : 0);
    image.data.set([r, g, b, 255], 4 * i);
  }
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  context.putImageData(image, 0, 0);
  const cell = Math.max(1, Math.min(8, Math.floor(560 / columns)));
  canvas.style.width = `${Math.min(560, columns * cell)}px`;
  canvas.style.height = `${Math.max(10, rows * Math.max(rows === 1 ? 12 : 1, Math.min(cell, 400 / rows)))}px`;
  if (chosen >= 0 && rows > 1) {
    context.fillStyle = "#e69f00";
    context.fillRect(0, chosen, Math.max(1, columns / 64), 1);
    context.fillRect(columns - Math.max(1, columns / 64), chosen, columns, 1);
  }
}

const short = number => Number(number.toPrecision(3)).toString();
const at = (array, row, column) => array.data[row * array.shape[1] + column];

/** Which dot product made a number of x W + b: how many products, the largest of them, and the bias. */
function ofProduct(x, { weight, bias }, result) {
  return (row, column) => {
    const I = x.shape[1], terms = [];
    for (let i = 0; i < I; i++) terms.push([at(x, row, i) * at(weight, i, column), i]);
    terms.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]));
    const largest = terms.slice(0, 3).map(([, i]) => `${short(at(x, row, i))} · ${short(at(weight, i, column))}`);
    const added = bias ? ` + bias ${short(bias.data[column])}` : "";
    return `${short(at(result, row, column))} = ${I} products${added}; the largest: ${largest.join(", ")}`;
  };
}

const ofSum = (a, b, names) => (row, column) =>
  `${short(at(a, row, column) + at(b, row, column))} = ${short(at(a, row, column))} (${names[0]}) + ${short(at(b, row, column))} (${names[1]})`;

const tokens = (array, explain) => ({ array, explain, rowName: row => tokenName(row), chosen: state.token });
const patchRows = (array, explain) =>
  ({ array, explain, rowName: row => tokenName(row + FRONT), chosen: state.token - FRONT });
const oneRow = (array, explain, name) => ({ array, explain, rowName: () => name, chosen: -1 });

/** The table of a matrix's numbers around the chosen row. */
function showNumbers(title, found) {
  if (!found) return;
  const { array, chosen } = found, [rows, columns] = array.shape;
  const first = Math.max(0, Math.min(rows - 40, chosen - 20)), last = Math.min(rows, first + 40), wide = Math.min(columns, 64);
  const table = document.createElement("table");
  const cell = (kind, text) => Object.assign(document.createElement(kind), { textContent: text });
  const head = table.insertRow();
  head.append(cell("th", ""), ...Array.from({ length: wide }, (_, c) => cell("th", c + 1)));
  for (let r = first; r < last; r++) {
    const line = table.insertRow();
    if (r === chosen) line.className = "chosen";
    line.append(cell("th", found.rowName(r)));
    for (let c = 0; c < wide; c++) {
      const number = cell("td", short(at(array, r, c)));
      number.onclick = () => { element("numbers-source").textContent = `${found.rowName(r)}, column ${c + 1}: ${found.explain(r, c)}`; };
      line.append(number);
    }
  }
  element("numbers-title").textContent = `${title} (${rows} × ${columns})`;
  element("numbers-source").textContent = rows > 40 || columns > 64
    ? `Rows ${first + 1} to ${last}, columns 1 to ${wide}. Choose a number to see where it comes from.`
    : "Choose a number to see where it comes from.";
  element("numbers").querySelector(".scroll").replaceChildren(table);
  element("numbers").showModal();
}
element("numbers-close").onclick = () => element("numbers").close();

// -- the walk -----------------------------------------------------------------------------------------------

const block = () => seen.blocks[state.block];
const blockOn = () => block().on;
const head = () => block().heads[state.head];
const weightsOf = () => model.weights.blocks[state.block];

matrix("patches", "all patches, a row each", () => patchRows(seen.patches, (row, i) => {
  const value = at(seen.patches, row, i), y = Math.floor(i / (3 * P)), x = Math.floor(i / 3) % P;
  return `${short(value)} is pixel (${y + 1}, ${x + 1}) of the patch, ${["red", "green", "blue"][i % 3]}`;
}));
matrix("embedding", "patch embeddings", () =>
  patchRows(seen.embedding, ofProduct(seen.patches, model.weights.embedding, seen.embedding)));
addPanel(figure(live("embedding"), "the filters: the columns of E as small images"), drawFilters);
matrix("tokens", "class token, learned", () => FRONT ? oneRow(model.weights.cls, () => "a weight", "class token") : null);
matrix("tokens", "position embeddings", () =>
  model.weights.positions ? tokens(model.weights.positions, () => "a weight, or a sine or cosine") : null);
matrix("tokens", "tokens z₀", () => tokens(seen.tokens[0], model.weights.positions && state.edits.positions
  ? ofSum(seen.withClass, model.weights.positions, ["token", "position"]) : () => "the token alone"));
addPanel(figure(live("tokens"), "how similar the chosen position is to all others (cosine)"), drawSimilarity);

for (const [name, number] of [["queries q", 0], ["keys k", 1], ["values v", 2]]) {
  matrix("qkv", name, () => {
    if (!blockOn()) return null;
    const array = [head().q, head().k, head().v][number], { weight, bias } = weightsOf().qkv;
    const D_h = D / config.heads, start = number * D + state.head * D_h;
    const part = x => x && columns(x, start, D_h);
    return tokens(array, ofProduct(block().norm1, { weight: part(weight), bias: part(bias) }, array));
  });
}
addPanel(figure(live("attention"), "the image, as bright as the chosen token's attention"), panel => {
  panel.outer.hidden = !blockOn();
  if (blockOn()) drawImage(panel.canvas, attentionOf(head().A));
});
matrix("attention", "all attention weights, a row each query", () => blockOn() ? tokens(head().A, (row, column) => {
  const score = at(head().scores, row, column);
  return `${short(at(head().A, row, column))} = exp(${short(score)}) / the sum over all keys: the key of ${tokenName(column)}`;
}) : null);
addPanel(figure(live("attention"), "every block (down) and head (across)"), drawAllHeads);
matrix("gathered", "what this head gathered", () => blockOn() ? tokens(head().head, (row, column) =>
  `${short(at(head().head, row, column))} is the average of this column of v, with the weights of the row`) : null);
matrix("gathered", "all heads side by side", () => blockOn() ? tokens(block().gathered, (row, column) =>
  `head ${Math.floor(column / (D / config.heads)) + 1}, column ${column % (D / config.heads) + 1}`) : null);
matrix("gathered", "tokens after attention", () => blockOn() ? tokens(block().middle, (row, column) =>
  ofSum(block().attention, seen.tokens[state.block], ["attention", "residual"])(row, column)) : null);
matrix("mlp", "hidden layer, after the activation function", () => blockOn() ? tokens(block().activated, (row, column) =>
  `${short(at(block().activated, row, column))} = ${config.gelu === "relu" ? "ReLU" : "GELU"}(${short(at(block().hidden, row, column))})`) : null);
matrix("mlp", "tokens after this block", () => blockOn() ? tokens(seen.tokens[state.block + 1], (row, column) =>
  ofSum(block().mlp, block().middle, ["MLP", "residual"])(row, column)) : null);
matrix("head", "what the head reads, y", () =>
  oneRow(seen.representation, (_, column) => short(at(seen.representation, 0, column)), "y"));
matrix("head", "logits", () => oneRow(seen.logits, ofProduct(seen.representation, model.weights.head, seen.logits), "logits"));
addPanel(figure(live("lens"), "probability of the five likeliest classes, before block 1 and after each"), drawLens);
addPanel(figure(live("rollout"), "the image, as bright as the rollout"), panel => drawImage(panel.canvas, rollout()));

/** The chosen token's attention to each patch. */
function attentionOf(A) {
  return A.data.slice(state.token * T + FRONT, (state.token + 1) * T);
}

function drawFilters({ canvas }) {
  const { weight } = model.weights.embedding, across = Math.min(D, 16), gap = 1;
  const scale = Math.max(1, Math.floor(20 / P));
  canvas.width = across * (P * scale + gap);
  canvas.height = Math.ceil(D / across) * (P * scale + gap);
  const context = canvas.getContext("2d");
  for (let d = 0; d < D; d++) {
    let most = 1e-12;
    for (let i = 0; i < weight.shape[0]; i++) most = Math.max(most, Math.abs(at(weight, i, d)));
    for (let y = 0; y < P; y++) for (let x = 0; x < P; x++) {
      const rgb = [0, 1, 2].map(c => Math.round(127.5 * (1 + at(weight, (y * P + x) * 3 + c, d) / most)));
      context.fillStyle = `rgb(${rgb})`;
      context.fillRect((d % across) * (P * scale + gap) + x * scale, Math.floor(d / across) * (P * scale + gap) + y * scale, scale, scale);
    }
  }
}

function drawSimilarity({ canvas, outer }) {
  const table = model.weights.positions, t = Math.max(state.token, FRONT);
  outer.hidden = !table;
  if (!table) return;
  const norm = r => Math.sqrt(rows(table, r, 1).data.reduce((sum, x) => sum + x * x, 0)) || 1;
  const array = { data: new Float32Array(N), shape: [ROWS, COLUMNS] };
  for (let n = 0; n < N; n++) {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += at(table, t, d) * at(table, n + FRONT, d);
    array.data[n] = sum / norm(t) / norm(n + FRONT);
  }
  drawMatrix(canvas, { array, chosen: -1 });
  canvas.style.width = `${COLUMNS * Math.floor(200 / COLUMNS)}px`;
  canvas.style.height = `${ROWS * Math.floor(200 / COLUMNS)}px`;
}

function drawAllHeads({ canvas }) {
  const tile = Math.max(32, Math.min(72, Math.floor(560 / config.heads))), one = document.createElement("canvas");
  canvas.width = config.heads * tile;
  canvas.height = Math.round(config.depth * tile * HEIGHT / WIDTH);
  const context = canvas.getContext("2d"), high = tile * HEIGHT / WIDTH;
  seen.blocks.forEach((each, l) => (each.heads || []).forEach(({ A }, h) => {
    drawImage(one, attentionOf(A), 1);
    context.drawImage(one, h * tile + 1, l * high + 1, tile - 2, high - 2);
  }));
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect();
    state.head = Math.min(config.heads - 1, Math.floor((event.clientX - box.left) / box.width * config.heads));
    state.block = Math.min(config.depth - 1, Math.floor((event.clientY - box.top) / box.height * config.depth));
    showSwitches();
    redraw();
  };
}

/** Lines of probability over the blocks, each with its class beside its end. */
function drawLens({ canvas, outer }) {
  const chosen = best(seen.probabilities.data, 5), across = 460, high = 200, left = 36, right = 130, L = seen.lens.length - 1;
  canvas.width = across + left + right;
  canvas.height = high + 40;
  const context = canvas.getContext("2d"), ink = getComputedStyle(document.body).color;
  const colours = dark.matches ? ["#56b4e9", "#e69f00", "#2cc99b", "#f0e442", "#e8a3c8"] : ["#0072b2", "#d55e00", "#007a55", "#7a6a00", "#a8487f"];
  const x = l => left + across * l / Math.max(1, L), y = p => 10 + high * (1 - p);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = ink;
  for (const p of [0, 0.5, 1]) context.fillText(`${100 * p} %`, 0, y(p) + 4);
  for (let l = 0; l <= L; l++) context.fillText(l === 0 ? "start" : l, x(l) - 6, high + 30);
  let lowest = -20;
  chosen.forEach(([k, p], i) => {
    context.strokeStyle = context.fillStyle = colours[i];
    context.lineWidth = 2;
    context.beginPath();
    seen.lens.forEach((row, l) => context.lineTo(x(l), y(row.data[k])));
    context.stroke();
    lowest = Math.max(y(p) + 4, lowest + 14);
    context.fillText(classes[k].slice(0, 18), x(L) + 6, lowest);
  });
  const names = chosen.map(([k]) => `${classes[k]}: ${seen.lens.map(row => `${Math.round(100 * row.data[k])} %`).join(", ")}`);
  canvas.setAttribute("aria-label", `Probabilities before block 1 and after each block. ${names.join("; ")}`);
}

/** Attention rollout: for each block, half the mean attention of its heads and half the identity, all multiplied. */
function rollout() {
  let R = identity();
  for (const each of seen.blocks) {
    if (!each.on) continue;
    const A = identity();
    for (const { A: head } of each.heads) head.data.forEach((a, i) => { A.data[i] += a / config.heads; });
    for (let i = 0; i < A.data.length; i++) A.data[i] /= 2;
    R = times(A, R);
  }
  if (FRONT && config.classifier === "token") return R.data.slice(FRONT, T);
  return mean(rows(R, FRONT, N)).data.slice(FRONT);
}

function identity() {
  const I = array(T, T);
  for (let t = 0; t < T; t++) I.data[t * T + t] = 1;
  return I;
}

// -- play ---------------------------------------------------------------------------------------------------

const toggled = (list, item, on) => on ? list.filter(each => each !== item) : [...list, item];

function showSwitches() {
  const { edits } = state;
  element("positions").checked = edits.positions;
  element("positions").closest("p").hidden = !page.weights.positions;
  element("block-on").checked = !edits.blocksOff.includes(state.block);
  element("residual-on").checked = !edits.residualOff.includes(state.block);
  element("head-on").checked = !edits.headsOff.includes(`${state.block}.${state.head}`);
  element("temperature").value = Math.log2(edits.temperature);
  element("temperature-is").textContent = `τ = ${short(edits.temperature)}`;
  const mark = (id, chosen, off) => [...element(id).children].forEach((button, i) => {
    button.setAttribute("aria-selected", i === chosen);
    button.classList.toggle("off", off(i));
  });
  mark("blocks", state.block, l => edits.blocksOff.includes(l));
  mark("heads", state.head, h => edits.headsOff.includes(`${state.block}.${h}`));
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === state.tool);
    if (button.dataset.tool === "move") button.hidden = !placed;
  }
  document.querySelector(".colour").hidden = state.tool !== "draw";
  document.querySelector(".zoom").hidden = !placed;
  showMoment();
}

function tabs(id, count, name, choose) {
  element(id).append(...Array.from({ length: count }, (_, i) => {
    const button = Object.assign(document.createElement("button"), { textContent: `${name} ${i + 1}` });
    button.setAttribute("role", "tab");
    button.onclick = () => {
      choose(i);
      showSwitches();
      redraw();
    };
    return button;
  }));
}
tabs("blocks", config.depth, "block", i => { state.block = i; });
tabs("heads", config.heads, "head", i => { state.head = i; });

function onSwitch(id, change) {
  element(id).oninput = event => {
    change(event.target);
    changed();
  };
}
onSwitch("positions", ({ checked }) => { state.edits.positions = checked; });
onSwitch("block-on", ({ checked }) => { state.edits.blocksOff = toggled(state.edits.blocksOff, state.block, checked); });
onSwitch("residual-on", ({ checked }) => { state.edits.residualOff = toggled(state.edits.residualOff, state.block, checked); });
onSwitch("head-on", ({ checked }) => {
  state.edits.headsOff = toggled(state.edits.headsOff, `${state.block}.${state.head}`, checked);
});
onSwitch("temperature", ({ value }) => { state.edits.temperature = 2 ** Number(value); });

for (const button of document.querySelectorAll("[data-tool]")) {
  button.onclick = () => {
    state.tool = button.dataset.tool;
    picked = null;
    changed();
  };
}
const currentOrder = () => state.edits.order || Array.from({ length: N }, (_, n) => n);
element("shuffle").onclick = () => {
  const order = currentOrder().slice();
  for (let n = N - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [order[n], order[other]] = [order[other], order[n]];
  }
  state.edits.order = order;
  changed();
};
element("clear").onclick = () => {
  state.pixels.fill(128);
  state.sample = -1;
  placed = null;
  state.tool = "draw";
  changed();
};
element("reset").onclick = () => {
  state.edits = noEdits(config);
  if (state.sample >= 0) choose(state.sample);
  else changed();
};

/** Which pixel of the image is under the pointer. */
function pixelAt(event) {
  const box = element("stage").getBoundingClientRect();
  return [Math.floor((event.clientX - box.left) / box.width * WIDTH), Math.floor((event.clientY - box.top) / box.height * HEIGHT)];
}

function patchAt([x, y]) {
  const row = Math.floor(y / P), column = Math.floor(x / P);
  return row >= 0 && row < ROWS && column >= 0 && column < COLUMNS ? row * COLUMNS + column : null;
}

/** Fill the pixels around one with a colour. */
function paint([x, y], radius, rgb) {
  for (let v = Math.max(0, y - radius); v <= Math.min(HEIGHT - 1, y + radius); v++) {
    for (let u = Math.max(0, x - radius); u <= Math.min(WIDTH - 1, x + radius); u++) {
      state.pixels.set(rgb, 3 * (v * WIDTH + u));
    }
  }
}

const USE = {
  choose: pixel => {
    const n = patchAt(pixel);
    if (n !== null) state.token = n + FRONT;
    redraw();
  },
  draw: pixel => {
    const hex = element("colour").value;
    paint(pixel, Math.floor(Math.max(HEIGHT, WIDTH) / 40), [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)));
    state.sample = -1;
    changed();
  },
  erase: pixel => {
    const n = patchAt(pixel);
    if (n === null) return;
    const from = currentOrder()[n], left = (from % COLUMNS) * P, top = Math.floor(from / COLUMNS) * P;
    for (let y = 0; y < P; y++) for (let x = 0; x < P; x++) state.pixels.set([128, 128, 128], 3 * ((top + y) * WIDTH + left + x));
    state.sample = -1;
    changed();
  },
  swap: (pixel, first) => {
    const n = patchAt(pixel);
    if (n === null || !first) return;
    if (picked === null) picked = n;
    else {
      const order = currentOrder().slice();
      [order[n], order[picked]] = [order[picked], order[n]];
      state.edits.order = order;
      picked = null;
    }
    changed();
  },
  move: (pixel, first, event) => {
    if (first) return;
    placed.x += event.movementX / element("stage").clientWidth * WIDTH;
    placed.y += event.movementY / element("stage").clientHeight * HEIGHT;
    place();
  },
};
element("stage").onpointerdown = event => {
  element("stage").setPointerCapture(event.pointerId);
  USE[state.tool](pixelAt(event), true, event);
};
element("stage").onpointermove = event => {
  if (event.buttons || (state.tool === "choose" && event.pointerType === "mouse" && seen)) USE[state.tool](pixelAt(event), false, event);
};
element("stage").onkeydown = event => {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS }[event.key];
  if (!step || !seen) return;
  event.preventDefault();
  state.token = Math.max(0, Math.min(T - 1, state.token < FRONT ? FRONT : state.token + step));
  redraw();
};

// -- images -------------------------------------------------------------------------------------------------

const bytesOf = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));

/** Show one of the page's images. */
function choose(i) {
  state.pixels = bytesOf(samples[i].pixels);
  state.sample = i;
  state.edits.order = null;
  placed = null;
  if (state.tool === "move") state.tool = "choose";
  say(samples[i].truth === null ? "" : `This is labelled ${classes[samples[i].truth]}.`);
  changed();
}

samples.forEach((sample, i) => {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  const pixels = bytesOf(sample.pixels), image = new ImageData(WIDTH, HEIGHT);
  for (let p = 0; p < WIDTH * HEIGHT; p++) image.data.set([pixels[3 * p], pixels[3 * p + 1], pixels[3 * p + 2], 255], 4 * p);
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  canvas.getContext("2d").putImageData(image, 0, 0);
  button.setAttribute("aria-label", `show ${sample.name}`);
  button.append(canvas);
  button.onclick = () => choose(i);
  element("samples").append(button);
});

/** Draw the visitor's picture into the model's image: it covers it, at the chosen zoom and place. */
function place() {
  const { bitmap } = placed, canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = Math.max(WIDTH / bitmap.width, HEIGHT / bitmap.height) * placed.zoom;
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  placed.x = Math.max((WIDTH - w) / 2, Math.min((w - WIDTH) / 2, placed.x));
  placed.y = Math.max((HEIGHT - h) / 2, Math.min((h - HEIGHT) / 2, placed.y));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (WIDTH - w) / 2 + placed.x, (HEIGHT - h) / 2 + placed.y, w, h);
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  for (let p = 0; p < WIDTH * HEIGHT; p++) state.pixels.set(data.subarray(4 * p, 4 * p + 3), 3 * p);
  state.sample = -1;
  changed();
}

async function take(file) {
  if (!file) return;
  try {
    placed = { bitmap: await createImageBitmap(file), zoom: 1, x: 0, y: 0 };
  } catch {
    say(`${file.name} is not an image that this browser can read: choose a PNG, JPEG or WebP file`);
    return;
  }
  state.edits.order = null;
  state.tool = "move";
  element("zoom").value = 1;
  say(`${file.name}: drag the picture to place it.`);
  place();
}
element("file").onchange = event => take(event.target.files[0]);
element("zoom").oninput = event => {
  placed.zoom = Number(event.target.value);
  place();
};
document.ondragover = event => event.preventDefault();
document.ondrop = event => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
};

// -- links --------------------------------------------------------------------------------------------------

/** The state as text for a link: the image too, if it is one of the page's or small. */
function stateText() {
  const { edits, token, block, head, sample } = state;
  const own = sample < 0 && SMALL ? btoa(String.fromCharCode(...state.pixels)) : undefined;
  const step = training ? training.steps[state.moment] : undefined;
  return encodeURIComponent(JSON.stringify({ edits, token, block, head, sample, own, step }));
}

/** Take over the state of a link; false if it does not fit this model. */
function restore(text) {
  try {
    const found = JSON.parse(decodeURIComponent(text));
    const whole = (number, end) => Number.isInteger(number) && number >= 0 && number < end;
    const order = found.edits.order, moment = training && "step" in found ? training.steps.indexOf(found.step) : MOMENTS - 1;
    const fits = whole(moment, MOMENTS) && whole(found.token, T) && whole(found.block, config.depth) && whole(found.head, config.heads)
      && Number.isFinite(found.edits.temperature) && found.edits.temperature > 0
      && [found.edits.blocksOff, found.edits.residualOff, found.edits.headsOff].every(Array.isArray)
      && (order === null || (Array.isArray(order) && order.length === N && order.every(n => whole(n, N))));
    if (!fits) return false;
    if (whole(found.sample, samples.length)) choose(found.sample);
    else if (found.own && bytesOf(found.own).length === state.pixels.length) {
      state.pixels = bytesOf(found.own);
      state.sample = -1;
    } else return false;
    Object.assign(state, { edits: found.edits, token: found.token, block: found.block, head: found.head, moment });
    return true;
  } catch {
    return false;
  }
}

element("share").onclick = async () => {
  if (state.sample < 0 && !SMALL) say("The link restores everything but your picture, which is too large for it.");
  location.hash = stateText();
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied: it restores this image and all changes.");
  } catch {
    say("The link is in the address bar: it restores this image and all changes.");
  }
};

// -- begin --------------------------------------------------------------------------------------------------

for (const line of document.querySelectorAll("[data-line]")) {
  const { file, number, text } = page.lines[line.dataset.line];
  const code = Object.assign(document.createElement("code"), { textContent: text });
  line.append(`${file}, line ${number}:`, code);
}
document.querySelector(".depth").textContent = config.depth;
document.querySelector(".pooling").textContent = config.classifier === "token"
  ? "The head reads the class token alone, after a last LayerNorm, and a linear layer gives each class a number, its logit. Softmax turns them into probabilities."
  : "The head reads the mean of all patches' tokens, with a last LayerNorm (global average pooling, appendix D.3). A linear layer gives each class a number, its logit; softmax turns them into probabilities.";
setUpTraining();
if (samples.length) choose(0);
if (location.hash.length > 1 && !restore(location.hash.slice(1))) {
  say("This link was made for another model, or it is cut short: the page begins anew.");
}
changed();
