// What the visitor sees and changes. vit.js computes in a worker; this file draws its numbers, and nothing else does.
"use strict";

const page = JSON.parse(document.getElementById("model").textContent);
const { config, classes, samples, training } = page;
const [HEIGHT, WIDTH] = config.image_size, P = config.patch_size, [ROWS, COLUMNS] = config.grid;
const N = ROWS * COLUMNS, FRONT = config.class_token ? 1 : 0, T = N + FRONT, D = config.dim;
const element = id => document.getElementById(id);
const MOMENTS = training ? training.steps.length : 1;    // models in the page: the snapshots, and the model as the last
const SMALL = Math.max(HEIGHT, WIDTH) <= 64;             // pixels are shown as squares, and fit into a link

const MIDDLE = Math.floor(ROWS / 2) * COLUMNS + Math.floor(COLUMNS / 2) + FRONT;  // the token that is chosen at first

const state = { pixels: new Uint8Array(HEIGHT * WIDTH * 3), edits: noEdits(config), token: MIDDLE, block: 0,
  head: 0, sample: samples.length ? 0 : -1, tool: "choose", moment: MOMENTS - 1 };
const models = [];                                       // the model at each moment, once the worker has read it
let model = null;                                        // the one that gave the last answer
let seen = null;                                         // every number of the last answer
let picked = null;                                       // the patch that is to be swapped with the next one
let placed = null;                                       // the visitor's picture, its zoom and its place
let pinned = MIDDLE;                                     // the chosen token: another one is shown while the mouse is over it
let painted = false;                                     // has the visitor drawn or erased on this image?
let original = null;                                     // {pixels, sample} before that; a link does not keep it
let unchanged = null;                                    // the answer to this image before all changes: {moment, shares}
let switchedByQuestion = false;                          // has a question switched the positions off?
let stepPlayed = null;                                   // {live, token, share, quiet}: the step that is played, and how far

// -- what the page needs ------------------------------------------------------------------------------------

const lacks = ["Worker", "IntersectionObserver", "ResizeObserver", "createImageBitmap"].filter(name => !(name in window));
if (lacks.length) stop(`This page needs a newer browser: this one has no ${lacks.join(", no ")}.`);
if (typeof weightsText === "undefined") {
  const address = document.querySelector("script[src]").getAttribute("src");      // ./ and the quoted name
  stop(`The weights are missing: put ${isolated(decodeURIComponent(address.slice(2)))} beside this page.`);
}

/** Say why nothing can be shown. */
function stop(why) {
  say(why);
  throw new Error(why);
}

// -- computing ----------------------------------------------------------------------------------------------

const WORKER = `
const models = [];
onmessage = ({ data }) => {
  const { moment } = data;
  if (data.page) {
    models[moment] = modelOf(data.page, data.text);
    const numbers = numbersOf(data.text, data.page.dtype);                // once more, since they are handed over
    postMessage({ moment, numbers }, [numbers.buffer]);
  } else if ("without" in data) {
    const { probabilities, logits } = vit(models[moment], scaledPixels(data.pixels, data.scaling), data.edits);
    postMessage({ without: data.without, asked: data.asked, shares: probabilities.data, logits: logits.data });
  } else {
    const seen = vit(models[moment], scaledPixels(data.pixels, data.scaling), data.edits);
    const buffers = new Set();
    JSON.stringify(seen, (_, each) => each instanceof Float32Array ? void buffers.add(each.buffer) : each);
    postMessage({ moment, seen }, [...buffers]);
  }
};`;

let busy = false, waiting = false, first = false;        // the newest change is computed when the last is done
let images = 0;                                          // how many images there were
let afterwards = null;                                   // what is done once when the newest answer is there
const worker = new Worker(URL.createObjectURL(new Blob(
  [element("vit").textContent, element("weights-reader").textContent, WORKER], { type: "text/javascript" })));
worker.onerror = event => say(`the model does not run in this browser: ${event.message}`);
worker.onmessage = ({ data }) => {
  if (data.without === "changes") {
    if (data.asked !== `${images}, ${state.moment}` || unchanged) return;
    unchanged = { moment: state.moment, shares: data.shares };
    showAnswer();
    return;
  }
  if ("without" in data) {
    answeredWithout(data);
    return;
  }
  if (data.numbers) {
    models[data.moment] = placedModel(page, data.numbers);
    return;
  }
  busy = false;
  model = models[data.moment];
  seen = data.seen;
  if (first) unchanged = { moment: data.moment, shares: seen.probabilities.data };
  else if (unchanged && unchanged.moment !== data.moment) unchanged = null;
  if (!unchanged && !painted && !waiting) askUnchanged();
  performance.mark("answer");
  document.body.dataset.answers = Number(document.body.dataset.answers || 0) + 1;
  if (waiting) compute();
  redraw();
  if (!busy && afterwards) {
    const next = afterwards;
    afterwards = null;
    next();
  }
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
  first = !painted && JSON.stringify(state.edits) === JSON.stringify(noEdits(config));
  load(state.moment);
  worker.postMessage({ moment: state.moment, scaling: page.scaling, pixels: state.pixels, edits: state.edits });
}

/**
 * Another image is there: its patches are in order, and nobody has painted on it. Its answer before changes is not
 * known, and an answer that is still to come is that of the image before.
 */
function beginImage(sample, picture = null) {
  state.sample = sample;
  state.edits.order = null;
  placed = picture;
  if (!placed && state.tool === "move") state.tool = "choose";
  picked = original = unchanged = null;
  painted = first = false;
  images++;
}

/** Ask for the answer to this image before all changes, which is shown beside the present one. */
function askUnchanged() {
  const { moment, pixels } = state;
  worker.postMessage({ without: "changes", asked: `${images}, ${moment}`, moment, scaling: page.scaling, pixels, edits: noEdits(config) });
}

function changed() {
  stepPlayed = null;
  forgetWithout();
  arrange();
  drawStage();
  showSwitches();
  compute();
}

/** A name inside a sentence: its direction of writing stays its own. */
function isolated(name) {
  return `\u2068${name}\u2069`;
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
  for (const panel of panels) if (panel.visible || panel.outer.hidden) enqueue(panel);   // hidden: it may be needed again
}

function enqueue(panel) {
  queue.add(panel);
  if (!scheduled) requestAnimationFrame(drawSome);
  scheduled = true;
}

function drawSome() {
  const until = performance.now() + 8;
  try {
    for (const panel of queue) {
      queue.delete(panel);
      if (seen) panel.draw(panel);
      if (performance.now() > until) break;
    }
  } finally {                                            // a panel that fails leaves the others to be drawn
    scheduled = queue.size > 0;
    if (scheduled) requestAnimationFrame(drawSome);
  }
}

// Dark or light as the system is, or as the page says that this one is a part of.
const night = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => ({ dark: true, light: false }[document.documentElement.dataset.theme] ?? night.matches);
function recolour() {
  drawLegend();
  if (seen) redraw();
}
night.addEventListener("change", recolour);
window.addEventListener("message", ({ source, data }) => {
  if (window === window.parent || source !== window.parent || !["dark", "light", "auto"].includes(data?.theme)) return;
  document.documentElement.dataset.theme = data.theme;
  recolour();
});

/** 511 colours as red, green, blue, for numbers from -1 to 1: blue below 0, orange above, the paper's colour at 0. */
function colours() {
  const paper = isDark() ? [22, 24, 27] : [255, 255, 255];
  const [low, high] = isDark() ? [[86, 180, 233], [230, 159, 0]] : [[0, 114, 178], [213, 94, 0]];
  return Array.from({ length: 511 }, (_, i) => {
    const number = (i - 255) / 255, end = number < 0 ? low : high;
    return paper.map((from, c) => from + Math.abs(number) * (end[c] - from));
  });
}
const COLOURS = { true: null, false: null };             // of the dark and of the light scheme

/** The colour of a number from -1 to 1. */
function colour(number) {
  COLOURS[isDark()] ||= colours();
  return COLOURS[isDark()][255 + Math.round(255 * Math.max(-1, Math.min(1, number)))];
}

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
const small = canvasOf(WIDTH, HEIGHT), faded = canvasOf(WIDTH, HEIGHT), mask = canvasOf(COLUMNS, ROWS);
const FADED = 0.7, GREYS = [40, 120, 200];               // the share of plain grey where a weight is 0, and which greys

/** Draw the image as the model gets it, its patches in their present order, into `small`, and without colours into `faded`. */
function arrange() {
  const image = new ImageData(WIDTH, HEIGHT);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const from = pixelShownAt(x, y), to = y * WIDTH + x;
      for (let c = 0; c < 3; c++) image.data[4 * to + c] = state.pixels[3 * from + c];
      image.data[4 * to + 3] = 255;
    }
  }
  small.getContext("2d").putImageData(image, 0, 0);
  fade(image);
}

/** The number of the pixel that is shown in a place: its patch may be in another order. */
function pixelShownAt(x, y) {
  const { order } = state.edits;
  if (!order) return y * WIDTH + x;
  const n = order[Math.floor(y / P) * COLUMNS + Math.floor(x / P)];
  return (Math.floor(n / COLUMNS) * P + y % P) * WIDTH + (n % COLUMNS) * P + x % P;
}

/** Draw an image in grey with little contrast, on the plain grey from which nine pixels of ten differ most. */
function fade(image) {
  const light = new Float32Array(WIDTH * HEIGHT);
  for (let p = 0; p < light.length; p++) {
    light[p] = 0.299 * image.data[4 * p] + 0.587 * image.data[4 * p + 1] + 0.114 * image.data[4 * p + 2];
  }
  const distance = grey => light.map(each => Math.abs(each - grey)).sort()[Math.floor(light.length / 10)];
  const grey = GREYS.reduce((a, b) => distance(b) > distance(a) ? b : a);
  const dull = new ImageData(WIDTH, HEIGHT);
  light.forEach((each, p) => dull.data.set([...Array(3).fill((1 - FADED) * each + FADED * grey), 255], 4 * p));
  faded.getContext("2d").putImageData(dull, 0, 0);
}

/** Draw the image: a patch keeps its colours at the weight `most` and fades to grey at 0; the marked patch has a frame. */
function drawImage(canvas, weights, largest, marked = state.token - FRONT, most = weights && Math.max(...weights)) {
  const wanted = (largest || 256) / Math.max(HEIGHT, WIDTH), scale = largest > 1 ? wanted : Math.max(1, Math.floor(wanted));
  const side = P * scale;
  canvas.width = Math.round(WIDTH * scale);
  canvas.height = Math.round(HEIGHT * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = !SMALL;
  if (weights) drawFaded(context, weights, side, most || 1);
  else context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (!weights && side >= 12) {
    context.strokeStyle = "rgba(128, 128, 128, 0.5)";
    const edge = k => Math.round(k * side) + 0.5;          // on whole pixels, so that each line is as wide as the others
    context.lineWidth = 1;
    context.beginPath();
    for (let k = 1; k <= COLUMNS; k++) line(context, edge(k), 0, edge(k), ROWS * side);
    for (let k = 1; k <= ROWS; k++) line(context, 0, edge(k), COLUMNS * side, edge(k));
    context.stroke();
  }
  for (const n of [marked, picked]) {
    if (n === null || n < 0) continue;
    for (const [width, ink] of [[5, "#000"], [3, n === picked ? "#d55e00" : "#ffb000"]]) {
      context.lineWidth = Math.min(width, side / 4);
      context.strokeStyle = ink;
      context.strokeRect((n % COLUMNS) * side + 2.5, Math.floor(n / COLUMNS) * side + 2.5, side - 5, side - 5);
    }
  }
}

function line(context, x, y, toX, toY) {
  context.moveTo(x, y);
  context.lineTo(toX, toY);
}

/** Draw the faded image where weights are small: a mask of one pixel a patch decides how much of the image shows. */
function drawFaded(context, weights, side, most) {
  const { canvas } = context, alphas = new ImageData(COLUMNS, ROWS);
  weights.forEach((weight, n) => { alphas.data[4 * n + 3] = 255 * weight / most; });
  mask.getContext("2d").putImageData(alphas, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(mask, 0, 0, COLUMNS * side, ROWS * side);
  context.imageSmoothingEnabled = !SMALL;
  context.globalCompositeOperation = "source-in";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-over";
  context.drawImage(faded, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
}

function drawStage() {
  const token = stepPlayed ? stepPlayed.token : state.token, across = element("stage").clientWidth || 352;
  drawImage(element("stage"), null, across * Math.max(HEIGHT, WIDTH) / WIDTH * (devicePixelRatio || 1), token - FRONT);
  element("in-short-image").getContext("2d").drawImage(element("stage"), 0, 0, 44, 44 * HEIGHT / WIDTH);
  if (stepPlayed && stepPlayed.quiet) return;
  element("chosen").textContent = `chosen: ${tokenName(token)}`;
  element("class-token").setAttribute("aria-pressed", token < FRONT);
}

/** Choose a token; `stays` is false while the mouse is only over its patch. */
function chooseToken(t, stays = true) {
  state.token = t;
  if (stays) pinned = t;
  redraw();
}

function tokenName(t) {
  if (t < FRONT) return "the class token";
  const n = t - FRONT;
  return `patch ${n + 1} (row ${Math.floor(n / COLUMNS) + 1}, column ${n % COLUMNS + 1})`;
}

/** Bars with names and shares, the largest first, and what a share was before the changes. */
function bars(parent, entries) {
  parent.className = "bars";
  parent.replaceChildren(...entries.flatMap(([name, share, before]) => {
    const [label, bar, number] = ["name", "bar", "number"].map(kind => {
      const part = document.createElement("span");
      part.className = kind;
      return part;
    });
    label.textContent = name;
    bar.style.width = `${100 * share}%`;
    number.textContent = percent(share);
    if (before !== undefined && percent(before) !== percent(share)) number.textContent += ` (was ${percent(before)})`;
    return [label, bar, number];
  }));
}

const percent = share => `${(100 * share).toFixed(1)} %`;

function best(probabilities, count) {
  return [...probabilities].map((p, k) => [k, p]).sort((a, b) => b[1] - a[1]).slice(0, count);
}

/** The class that is right for one of the page's images, null if nobody knows. */
const labelOf = i => i < 0 ? null : samples[i].truth;
const isWrong = () => labelOf(state.sample) !== null && labelOf(state.sample) !== best(seen.probabilities.data, 1)[0][0];

function showAnswer() {
  const found = best(seen.probabilities.data, 5);
  bars(element("answer"), found.map(([k, p]) => [classes[k], p, unchanged ? unchanged.shares[k] : undefined]));
  const label = labelOf(state.sample), before = painted && original ? labelOf(original.sample) : null;
  element("label").textContent = label !== null ? `The label is ${className(label)}: the answer is ${isWrong() ? "wrong" : "right"}.`
    : before !== null ? `Before you changed the image, its label was ${className(before)}.` : "";
  const [[k, p]] = found, [[was, share]] = unchanged ? best(unchanged.shares, 1) : found;
  const old = was !== k ? ` (was ${className(was)})` : percent(p) !== percent(share) ? ` (was ${percent(share)})` : "";
  const answer = `${className(k)} ${percent(p)}${old}`;
  element("in-short").textContent = answer;
  tellAnswer(label === null ? answer : `${answer}. ${element("label").textContent}`);
  element("positions-said").textContent = state.edits.positions || !page.weights.positions ? ""
    : `The positions are off: the answer is ${className(k)} with ${percent(p)}`
      + `${unchanged ? `; before all changes it was ${className(was)} with ${percent(share)}` : ""}. Shuffle the patches: it stays.`;
}

let answerToTell = "", telling = 0;                      // for screen readers, and the timer until they get it

/** Tell screen readers the answer when nothing has changed for a moment; none of those while the training plays. */
function tellAnswer(text) {
  if (playing || text === answerToTell) return;
  answerToTell = text;
  clearTimeout(telling);
  telling = setTimeout(() => { element("answer-said").textContent = text; }, QUIET);
}

// -- matrices -----------------------------------------------------------------------------------------------

/** A figure with a title, a canvas and a line that says what it shows, in a live part of the page. */
function figure(parent, title, label) {
  const outer = document.createElement("figure"), caption = document.createElement("figcaption");
  const canvas = document.createElement("canvas"), shape = document.createElement("span");
  const explained = document.createElement("p");
  caption.textContent = title;
  shape.className = "shape";
  caption.append(shape);
  explained.className = "explained";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label || title);
  outer.append(canvas, caption, explained);
  parent.append(outer);
  return { canvas, caption, outer, shape, explained, live: parent };
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
  opens(made, title, get);
  made.outer.classList.add("matrix");
  made.canvas.onclick = event => {
    const found = get();
    if (!found) return;
    const [rows, columns] = found.array.shape, box = made.canvas.getBoundingClientRect();
    const row = Math.min(rows - 1, Math.floor((event.clientY - box.top) / box.height * rows));
    const column = Math.min(columns - 1, Math.floor((event.clientX - box.left) / box.width * columns));
    made.explained.textContent = sentence(found, row, column);
  };
  addPanel(made, panel => {
    const found = get();
    made.outer.hidden = !found;
    if (!found) return;
    made.shape.textContent = found.array.shape.join(" × ");
    made.outer.classList.toggle("flat", found.array.shape[0] === 1);
    const last = lastRow(panel, found);
    drawMatrix(panel.canvas, found, last, stepPlayed ? stepPlayed.share : 1);
    if (stepPlayed && stepPlayed.live === panel.live && !stepPlayed.quiet && last >= 0) made.explained.textContent = sentence(found, last, largestIn(found.array, last));
  });
}

/** A button in a figure's caption that opens the numbers which `get` returns. */
function opens({ caption }, title, get) {
  const open = document.createElement("button");
  open.textContent = "numbers";
  open.setAttribute("aria-label", `the numbers of ${title}`);
  open.onclick = () => showNumbers(title, get());
  caption.append(open);
}

const sentence = ({ rowName, columnName, explain }, row, column) =>
  `${rowName(row)}, column ${column + 1}${columnName ? ` (${columnName(column)})` : ""}: ${explain(row, column)}`;

/** The last row that is shown: all of them, or while the step is played, those of the tokens up to now. */
function lastRow(panel, { array, front }) {
  const rows = array.shape[0];
  if (!stepPlayed || stepPlayed.live !== panel.live) return rows - 1;
  if (rows === T || rows === N) return Math.min(rows - 1, stepPlayed.token - (front || 0));
  return rows - 1;
}

function largestIn(array, row) {
  let column = 0;
  for (let c = 1; c < array.shape[1]; c++) if (Math.abs(at(array, row, c)) > Math.abs(at(array, row, column))) column = c;
  return column;
}

/** Draw a matrix as cells up to a row; one of few rows, up to a share of its columns. */
function drawMatrix(canvas, { array, chosen, byRow }, last = array.shape[0] - 1, share = 1) {
  const [rows, columns] = array.shape, image = new ImageData(columns, rows);
  const columnsShown = rows === T || rows === N ? columns : Math.ceil(share * columns);
  const largest = (from, to) => {
    let most = 0;
    for (let i = from; i < to; i++) most = Math.max(most, Math.abs(array.data[i]));
    return most || 1;
  };
  let most = largest(0, array.data.length);
  for (let row = 0; row <= last; row++) {
    if (byRow) most = largest(row * columns, (row + 1) * columns);
    for (let column = 0; column < columnsShown; column++) {
      const i = row * columns + column, [r, g, b] = colour(array.data[i] / most);
      image.data[4 * i] = r;
      image.data[4 * i + 1] = g;
      image.data[4 * i + 2] = b;
      image.data[4 * i + 3] = 255;
    }
  }
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  context.putImageData(image, 0, 0);
  const cell = rows <= 4 ? Math.min(16, 384 / columns) : Math.min(4, 340 / columns);
  canvas.style.width = `${columns * cell}px`;
  canvas.style.height = `${rows <= 4 ? 16 * rows : Math.min(260, rows * cell)}px`;
  if (chosen >= 0 && rows > 1 && !byRow) {
    context.fillStyle = isDark() ? "#fff" : "#000";        // no number has this colour
    context.fillRect(0, chosen, Math.max(1, columns / 64), 1);
    context.fillRect(columns - Math.max(1, columns / 64), chosen, columns, 1);
  }
}

const short = number => Number(number.toPrecision(3)).toString();
const at = (array, row, column) => array.data[row * array.shape[1] + column];

/** A sum of products in words: how many, and the largest three, each with its name, or else its place in the sum. */
function productsInWords(count, a, b, name = i => `number ${i + 1}`, what = "") {
  const order = Array.from({ length: count }, (_, i) => i).sort((i, j) => Math.abs(a(j) * b(j)) - Math.abs(a(i) * b(i)));
  const largest = order.slice(0, 3).map(i => `${short(a(i))} · ${short(b(i))} (${name(i)})`);
  return [`the sum of ${count} products${what && ` of ${what}`}`, `the largest: ${largest.join(", ")}`];
}

/**
 * Which dot product made a number of x W + b: how many products, the largest of them, and the bias.
 * `x` and `W` are called by their names, and so are the numbers of a row of `x`; `factors` gives the row and the column themselves.
 */
function ofProduct(x, { weight, bias }, result, [nameOfX, nameOfW, name]) {
  const explain = (row, column) => {
    const [count, largest] = productsInWords(x.shape[1], i => at(x, row, i), i => at(weight, i, column), name);
    const added = bias ? ` + bias ${short(bias.data[column])}` : "";
    return `${short(at(result, row, column))} = ${count}${added}: the dot product of this row of ${nameOfX} and column `
      + `${column + 1} of ${nameOfW}; ${largest}`;
  };
  explain.factors = (row, column) => [rows(x, row, 1).data, columns(weight, column, 1).data];
  explain.nameOf = name;
  return explain;
}

const ofSum = (a, b, names) => (row, column) =>
  `${short(at(a, row, column) + at(b, row, column))} = ${short(at(a, row, column))} (${names[0]}) + ${short(at(b, row, column))} (${names[1]})`;

/** A branch's number, times its LayerScale if there is one, plus what the residual connection adds. */
const ofResidual = (result, branch, name, scale, kept) => (row, column) => {
  const times = scale ? ` · ${short(scale.data[column])} (LayerScale)` : "";
  const adds = state.edits.residualOff.includes(state.block) ? ": the residual connection is off"
    : ` + ${short(at(kept, row, column))} (residual connection)`;
  return `${short(at(result, row, column))} = ${short(at(branch, row, column))} (${name})${times}${adds}`;
};

/** How LayerNorm made a number: mean and standard deviation of its row, weight and bias of its column. */
const ofNorm = (x, { weight, bias }, result) => (row, column) => {
  const numbers = rows(x, row, 1).data, mu = mean({ data: numbers, shape: [numbers.length, 1] }).data[0];
  const deviation = Math.sqrt(numbers.reduce((sum, each) => sum + (each - mu) ** 2, 0) / numbers.length + config.norm_eps);
  return `${short(at(result, row, column))} = (${short(at(x, row, column))} - mean ${short(mu)}) / standard deviation `
    + `${short(deviation)} · weight ${short(weight.data[column])}${bias ? ` + bias ${short(bias.data[column])}` : ""}`;
};

/** A token's name without its place. */
const shortName = t => t < FRONT ? "class token" : `patch ${t - FRONT + 1}`;
const tokens = (array, explain, columnName) => ({ array, explain, rowName: shortName, chosen: state.token, columnName });
const patchRows = (array, explain) =>
  ({ array, explain, rowName: row => shortName(row + FRONT), chosen: state.token - FRONT, front: FRONT });
const oneRow = (array, explain, name, columnName) => ({ array, explain, rowName: () => name, chosen: -1, columnName });
const className = k => isolated(classes[k]);

// -- numbers ------------------------------------------------------------------------------------------------

const WINDOW = [24, 16];                                 // rows and columns of numbers at a time
let opened = null;                                       // {title, found, row, column}: the matrix, and where its window begins

/** Open the numbers of a matrix, around the chosen row. */
function showNumbers(title, found) {
  if (!found) return;
  const row = Math.max(0, Math.min(found.array.shape[0] - WINDOW[0], found.chosen - WINDOW[0] / 2));
  opened = { title, found, row, column: 0 };
  element("numbers-title").textContent = `${title} (${found.array.shape.join(" × ")})`;
  element("numbers-source").textContent = "Choose a number to see where it comes from.";
  element("products").hidden = true;
  fillNumbers();
  element("numbers").showModal();
  const chosen = element("numbers").querySelector("tr.chosen");
  if (chosen) chosen.scrollIntoView({ block: "center" });
}

/** A cell of a table; `scope` says of a heading whether it is a row's or a column's. */
function cell(kind, text, scope) {
  const made = Object.assign(document.createElement(kind), { textContent: text });
  if (scope) made.scope = scope;
  return made;
}

function fillNumbers() {
  const { title, found, row, column } = opened, { array, chosen } = found, [rows, columns] = array.shape;
  const lastRow = Math.min(rows, row + WINDOW[0]), lastColumn = Math.min(columns, column + WINDOW[1]);
  const table = document.createElement("table");
  table.createCaption().textContent = `rows ${row + 1} to ${lastRow}, columns ${column + 1} to ${lastColumn}`;
  const head = table.insertRow();
  head.append(cell("td", ""));
  for (let c = column; c < lastColumn; c++) head.append(cell("th", found.columnName ? found.columnName(c) : c + 1, "col"));
  for (let r = row; r < lastRow; r++) {
    const line = table.insertRow();
    if (r === chosen) line.className = "chosen";
    line.append(cell("th", found.rowName(r), "row"));
    for (let c = column; c < lastColumn; c++) {
      const number = document.createElement("button");
      number.textContent = short(at(array, r, c));
      number.tabIndex = r === row && c === column ? 0 : -1;
      number.onclick = number.onfocus = () => {
        element("numbers-source").textContent = sentence(found, r, c);
        showProducts(found, r, c);
      };
      line.insertCell().append(number);
    }
  }
  element("numbers").querySelector(".scroll").replaceChildren(table);
  for (const button of document.querySelectorAll("[data-turn]")) {
    const [down, right] = button.dataset.turn.split(" ").map(Number);
    button.disabled = (down < 0 && row === 0) || (right < 0 && column === 0)
      || (down > 0 && lastRow === rows) || (right > 0 && lastColumn === columns);
    button.onclick = () => {
      opened.row = Math.max(0, row + down * WINDOW[0]);
      opened.column = Math.max(0, column + right * WINDOW[1]);
      fillNumbers();
    };
  }
}

/**
 * Show the dot product that made a number, as cells and as numbers: the row, below it the column, below both their
 * products; hidden without one.
 */
function showProducts({ explain }, row, column) {
  const shown = element("products"), factors = explain.factors && explain.factors(row, column);
  shown.hidden = !factors;
  if (!factors) return;
  const [a, b] = factors, count = a.length, array = { data: new Float32Array(3 * count), shape: [3, count] };
  array.data.set(a);
  array.data.set(b, count);
  array.data.set(a.map((each, i) => each * b[i]), 2 * count);
  drawMatrix(shown.querySelector("canvas"), { array, chosen: -1, byRow: true });
  const table = document.createElement("table"), head = table.insertRow();
  table.setAttribute("aria-label", "the dot product in numbers");
  head.append(cell("td", ""), ...Array.from(a, (_, i) => cell("th", explain.nameOf ? explain.nameOf(i) : i + 1, "col")));
  ["row", "column", "product"].forEach((name, r) => {
    const numbers = rows(array, r, 1).data;
    table.insertRow().append(cell("th", name, "row"), ...Array.from(numbers, each => cell("td", short(each))));
  });
  shown.querySelector(".across").replaceChildren(table);
}

/** Arrow keys go from number to number. */
element("numbers").querySelector(".scroll").onkeydown = event => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest("td");
  if (!step || !cell) return;
  event.preventDefault();
  const table = cell.closest("table"), row = table.rows[cell.parentNode.rowIndex + step[0]];
  const next = row && row.cells[cell.cellIndex + step[1]];
  const button = next && next.querySelector("button");
  if (button) button.focus();
};
element("numbers-close").onclick = () => element("numbers").close();

// -- the walk -----------------------------------------------------------------------------------------------

const block = () => seen.blocks[state.block];
const blockOn = () => block().on;
const head = () => block().heads[state.head];
const weightsOf = () => model.weights.blocks[state.block];
const D_h = D / config.heads;
const MOST = 0.9;                                        // the share of attention of which it is said how many tokens have it

/** A matrix of the chosen block: there is none while the block is off. */
const blockMatrix = (parent, title, get) => matrix(parent, title, () => blockOn() ? get() : null);

addPanel(figure(live("patches"), "the chosen patch, enlarged"), panel => {
  const { canvas, outer, explained } = panel, shown = stepPlayed && stepPlayed.live === panel.live ? stepPlayed.token : state.token;
  const n = shown - FRONT;
  outer.hidden = n < 0;
  if (outer.hidden) return;
  canvas.width = canvas.height = 16 * P > 256 ? P : 256 - 256 % P;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, n % COLUMNS * P, Math.floor(n / COLUMNS) * P, P, P, 0, 0, canvas.width, canvas.height);
  explained.textContent = `Its ${P} × ${P} pixels are row ${n + 1} of the matrix: ${3 * P * P} numbers.`;
});
/** What a column of the patches, or a row of E, belongs to. */
const pixelName = i => `pixel (${Math.floor(i / (3 * P)) + 1}, ${Math.floor(i / 3) % P + 1}), ${["red", "green", "blue"][i % 3]}`;
matrix("patches", "all patches, a row each", () => patchRows(seen.patches, (row, i) => {
  return `${short(at(seen.patches, row, i))} is ${pixelName(i)}, of this patch`;
}));
matrix("embedding", "patch embeddings", () =>
  patchRows(seen.embedding, ofProduct(seen.patches, model.weights.embedding, seen.embedding, ["the patches", "E", pixelName])));
const filters = figure(live("embedding"), "the filters: each column of E as a small image");
opens(filters, "E", () => ({ array: model.weights.embedding.weight, explain: () => "learned in training", chosen: -1,
  rowName: pixelName }));
addPanel(filters, drawFilters);
matrix("tokens", "class token", () => FRONT
  ? oneRow(model.weights.cls, () => "learned in training, the same for every image", "class token") : null);
matrix("tokens", "position embeddings", () => model.weights.positions
  ? tokens(model.weights.positions, () => config.positions.startsWith("sincos") ? "a sine or cosine of the place" : "learned in training") : null);
matrix("tokens", "tokens z₀", () => tokens(seen.tokens[0], model.weights.positions && state.edits.positions
  ? ofSum(seen.withClass, model.weights.positions, ["token", "position"]) : () => "the token alone"));
const similarity = figure(live("tokens"), "how similar the chosen position is to that of each patch, by the cosine of their angle");
opens(similarity, "position similarity", () => model.weights.positions ? { array: similarities(), chosen: -1,
  rowName: row => `row ${row + 1} of the image`, explain: () => "cosine with the chosen position" } : null);
addPanel(similarity, drawSimilarity);

blockMatrix("qkv", "tokens after LayerNorm", () =>
  tokens(block().norm1, ofNorm(seen.tokens[state.block], weightsOf().norm1, block().norm1)));
for (const [name, number] of [["queries q", 0], ["keys k", 1], ["values v", 2]]) {
  blockMatrix("qkv", name, () => {
    const array = [head().q, head().k, head().v][number], { weight, bias } = weightsOf().qkv;
    const part = x => x && columns(x, number * D + state.head * D_h, D_h);
    return tokens(array, ofProduct(block().norm1, { weight: part(weight), bias: part(bias) }, array,
      ["the tokens after LayerNorm", `U_${"qkv"[number]} of this head`]));
  });
}
const spotlight = figure(live("attention"), "the image: patches that the chosen token attends to keep their colours; click one to choose it");
spotlight.canvas.classList.add("clickable");
spotlight.canvas.onclick = event => {
  const n = patchAt(pixelAt(event));
  if (n !== null) chooseToken(n + FRONT);
};
addPanel(spotlight, panel => {
  panel.outer.hidden = !blockOn();
  element("spread").textContent = blockOn() ? spreadInWords() : "";
  if (!blockOn()) return;
  const weights = attentionOf(head().A);
  drawImage(panel.canvas, stepPlayed && stepPlayed.live === panel.live ? weights.map((w, n) => n + FRONT <= stepPlayed.token ? w : 0) : weights);
  panel.explained.textContent = attentionInWords(rows(head().A, state.token, 1).data);
});
addPanel(figure(live("attention"), "the chosen token's attention in every block and head; click one to choose it"), drawAllHeads);
/** A number of the chosen token for each token that it looks at, as one row. */
const lookedAt = (title, rowName, number, why, factors) => blockMatrix("attention", title, () => {
  const array = { data: Float32Array.from({ length: T }, (_, s) => number(s)), shape: [1, T] };
  const explain = (_, s) => `${short(array.data[s])} = ${why(s)}`;
  explain.factors = factors && ((_, s) => factors(s));
  return oneRow(array, explain, rowName, shortName);
});
const score = s => at(head().scores, state.token, s);
lookedAt("1. its query times the key of each token, q · k", "q · k", s => score(s) * Math.sqrt(D_h), s =>
  productsInWords(D_h, i => at(head().q, state.token, i), i => at(head().k, s, i)).join(": the query times the key, number by number; "),
s => [rows(head().q, state.token, 1).data, rows(head().k, s, 1).data]);
lookedAt("2. divided by √D_h: the scores", "score", score, s => `${short(score(s) * Math.sqrt(D_h))} / √${D_h}`);
lookedAt("3. after softmax: the weights", "weight", s => at(head().A, state.token, s), s =>
  `${ofSoftmax(score(s))}: these weights have the sum 1`);
blockMatrix("attention", "all attention weights, a row for each token that looks", () => tokens(head().A, (row, column) =>
  `${short(at(head().A, row, column))} = ${ofSoftmax(at(head().scores, row, column))}: its attention to ${tokenName(column)}`, shortName));
blockMatrix("gathered", "what this head gathered, A v", () => tokens(head().head, (row, column) => {
  if (!head().on) return "0: this head is off";
  const [count, largest] = productsInWords(T, s => at(head().A, row, s), s => at(head().v, s, column), tokenName);
  return `${short(at(head().head, row, column))} = ${count} of a weight and a value; ${largest}`;
}));
blockMatrix("gathered", "all heads side by side", () => tokens(block().gathered, (row, column) =>
  `${short(at(block().gathered, row, column))} is column ${column % D_h + 1} of what head ${Math.floor(column / D_h) + 1} gathered`));
blockMatrix("gathered", "the result of attention", () =>
  tokens(block().attention, ofProduct(block().gathered, weightsOf().out, block().attention, ["all heads side by side", "U_msa"])));
blockMatrix("gathered", "tokens after attention", () => tokens(block().middle,
  ofResidual(block().middle, block().attention, "attention", weightsOf().scale1, seen.tokens[state.block])));
blockMatrix("mlp", "tokens after LayerNorm, again", () =>
  tokens(block().norm2, ofNorm(block().middle, weightsOf().norm2, block().norm2)));
blockMatrix("mlp", "hidden layer", () => tokens(block().hidden, ofProduct(block().norm2, weightsOf().fc1, block().hidden, ["the tokens after LayerNorm", "the first layer's weights"])));
blockMatrix("mlp", "hidden layer, after the activation function", () => tokens(block().activated, (row, column) =>
  `${short(at(block().activated, row, column))} = ${config.gelu === "relu" ? "ReLU" : "GELU"}(${short(at(block().hidden, row, column))})`));
blockMatrix("mlp", "the result of the MLP", () => tokens(block().mlp, ofProduct(block().activated, weightsOf().fc2, block().mlp, ["the hidden layer", "the second layer's weights"])));
blockMatrix("mlp", "tokens after this block", () => tokens(seen.tokens[state.block + 1],
  ofResidual(seen.tokens[state.block + 1], block().mlp, "MLP", weightsOf().scale2, block().middle)));
const lens = figure(live("lens"), "probability of the five likeliest classes, before block 1 and after each");
opens(lens, "the answer after each block", () => ({ array: stackedRows(seen.lens), chosen: -1, explain: (row, k) => `probability of ${className(k)}`,
  columnName: className,
  rowName: row => row === 0 ? "before block 1" : `after block ${row}` }));
addPanel(lens, drawLens);
matrix("head", "what the head reads, y", () => oneRow(seen.representation, config.classifier === "token"
  ? ofNorm(seen.tokens[config.depth], model.weights.encoder_norm, seen.representation)
  : (_, column) => `${short(seen.representation.data[column])} = the mean of ${N} patches' tokens, `
    + `${config.pool_before_norm ? "and then LayerNorm" : "each after LayerNorm"}`, "y"));
matrix("head", "logits", () => oneRow(seen.logits,
  ofProduct(seen.representation, model.weights.head, seen.logits, ["y", "the last layer's weights"]), "logits", className));
matrix("head", "probabilities", () => oneRow(seen.probabilities, (row, k) =>
  `${short(seen.probabilities.data[k])} = exp(${short(seen.logits.data[k])}) / the sum of exp over all classes`, "probabilities", className));
const flow = figure(live("rollout"), "the image: patches from which much can reach the answer keep their colours");
opens(flow, "rollout", () => ({ array: { data: rollout(), shape: [ROWS, COLUMNS] }, chosen: -1,
  rowName: row => `row ${row + 1} of the image`, explain: () => "share of the answer that could come from this patch" }));
addPanel(flow, panel => {
  const shares = rollout(), n = state.token - FRONT;
  drawImage(panel.canvas, shares);
  const [[most]] = best(shares, 1), all = shares.reduce((a, b) => a + b);
  panel.explained.textContent = [most, ...(n < 0 || n === most ? [] : [n])].map((patch, i) =>
    `${i ? "From" : "The most comes from"} ${tokenName(patch + FRONT)}${i ? " comes" : ":"} ${percent(shares[patch] / all)}.`).join(" ");
});

/** The rows of several matrices, one below the other. */
function stackedRows(list) {
  return list.reduce((above, below) => stacked(above, below));
}

/** A weight of softmax in words. */
function ofSoftmax(score) {
  const { temperature } = state.edits;
  return `exp(${short(score)}${temperature === 1 ? "" : ` / ${short(temperature)}`}) / the sum of exp over all ${T} tokens`;
}

/** Whom the chosen token attends to most, as a sentence. */
function attentionInWords(weights) {
  const most = best(weights, 3), name = tokenName(state.token), toClass = !FRONT || most.some(([t]) => t === 0);
  return `In block ${state.block + 1}, head ${state.head + 1}, ${name} attends most to `
    + `${most.map(([t, share]) => `${tokenName(t)} with ${percent(share)}`).join(", ")}`
    + `${toClass ? "" : `; to the class token with ${percent(weights[0])}`}.`;
}

/** Whom the chosen token attends to most in each head of the chosen block, as a sentence. */
function headsInWords() {
  const most = block().heads.map(({ A }, h) => {
    const [[t, share]] = best(rows(A, state.token, 1).data, 1);
    return `in head ${h + 1} to ${t < FRONT ? "the class token" : shortName(t)} (${percent(share)})`;
  });
  return `In block ${state.block + 1} it attends most ${most.join(", ")}.`;
}

/** How many tokens have most of the chosen token's attention, as a sentence. */
function spreadInWords() {
  const weights = best(rows(head().A, state.token, 1).data, T);
  let sum = 0, count = 0;
  while (count < T && sum < MOST) sum += weights[count++][1];
  return `With temperature ${short(state.edits.temperature)}, ${tokenName(state.token)} gives ${percent(sum)} of its attention to `
    + `${count} of ${T} tokens. The token that gets most has ${percent(weights[0][1])} (block ${state.block + 1}, head ${state.head + 1}).`;
}

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

/** The cosine of the chosen position with each position, laid out as the image. */
function similarities() {
  const table = model.weights.positions, t = state.token;
  const norm = r => Math.sqrt(rows(table, r, 1).data.reduce((sum, x) => sum + x * x, 0)) || 1;
  const array = { data: new Float32Array(N), shape: [ROWS, COLUMNS] };
  for (let n = 0; n < N; n++) {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += at(table, t, d) * at(table, n + FRONT, d);
    array.data[n] = sum / norm(t) / norm(n + FRONT);
  }
  return array;
}

function drawSimilarity({ canvas, outer, explained }) {
  outer.hidden = !model.weights.positions;
  if (outer.hidden) return;
  const array = similarities(), others = best(array.data, N).filter(([n]) => n + FRONT !== state.token).slice(0, 3);
  drawMatrix(canvas, { array, chosen: -1 });
  explained.textContent = `The position of ${tokenName(state.token)} is most like those of `
    + `${others.map(([n, cosine]) => `patch ${n + 1} (${short(cosine)})`).join(", ")}. 1: the same direction, 0: unrelated, -1: opposite.`;
  canvas.style.width = `${COLUMNS * Math.floor(200 / COLUMNS)}px`;
  canvas.style.height = `${ROWS * Math.floor(200 / COLUMNS)}px`;
}

/** A small image for each block and head; a click chooses both. */
function drawAllHeads({ canvas, explained }) {
  const tile = Math.max(32, Math.min(72, Math.floor(500 / config.heads))), high = Math.round(tile * HEIGHT / WIDTH);
  const [left, top] = [56, 20], context = canvas.getContext("2d"), ink = getComputedStyle(document.body).color;
  canvas.width = left + config.heads * tile;
  canvas.height = top + config.depth * high;
  canvas.className = "clickable";
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = ink;
  for (let h = 0; h < config.heads; h++) context.fillText(tile < 48 ? h + 1 : `head ${h + 1}`, left + h * tile + 2, 14);
  for (let l = 0; l < config.depth; l++) context.fillText(`block ${l + 1}`, 0, top + l * high + high / 2 + 4);
  seen.blocks.forEach((each, l) => (each.heads || []).forEach(({ A }, h) => {
    drawImage(one, attentionOf(A), 1);
    context.drawImage(one, left + h * tile + 2, top + l * high + 2, tile - 4, high - 4);
  }));
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.strokeRect(left + state.head * tile + 1, top + state.block * high + 1, tile - 2, high - 2);
  explained.textContent = blockOn() ? headsInWords() : "";
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * canvas.width;
    const y = (event.clientY - box.top) / box.height * canvas.height;
    state.head = Math.max(0, Math.min(config.heads - 1, Math.floor((x - left) / tile)));
    state.block = Math.max(0, Math.min(config.depth - 1, Math.floor((y - top) / high)));
    showSwitches();
    redraw();
  };
}
const one = document.createElement("canvas");

/** Lines of probability over the blocks, each with its class beside its end. */
function drawLens({ canvas, explained, live }) {
  const chosen = best(seen.probabilities.data, 5), L = seen.lens.length - 1;
  const wide = Math.min(640, live.clientWidth || 640), high = 200, left = 44, right = wide < 480 ? 92 : 130, across = wide - left - right;
  const fine = devicePixelRatio || 1;                    // the screen's pixels, so that letters are sharp
  canvas.width = Math.round(wide * fine);
  canvas.height = Math.round((high + 58) * fine);
  canvas.style.width = `${wide}px`;
  const context = canvas.getContext("2d"), ink = getComputedStyle(document.body).color;
  const colours = isDark() ? ["#56b4e9", "#e69f00", "#2cc99b", "#f0e442", "#e8a3c8"] : ["#0072b2", "#d55e00", "#007a55", "#7a6a00", "#a8487f"];
  const x = l => left + across * l / Math.max(1, L), y = p => 10 + high * (1 - p);
  context.scale(fine, fine);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = ink;
  context.textAlign = "right";
  for (const p of [0, 0.5, 1]) context.fillText(`${100 * p} %`, left - 8, y(p) + 4);
  context.textAlign = "center";
  for (let l = 0; l <= L; l++) context.fillText(l === 0 ? "start" : l, x(l), high + 30);
  context.fillText("after block", left + across / 2, high + 48);
  const shown = stepPlayed && stepPlayed.live === live ? Math.floor(stepPlayed.share * L) : L;
  const heights = apart(chosen.map(([, p]) => y(p) + 4), 14, high + 14);
  context.textAlign = "left";
  chosen.forEach(([k], i) => {
    context.strokeStyle = context.fillStyle = colours[i];
    context.lineWidth = 2;
    context.beginPath();
    seen.lens.slice(0, shown + 1).forEach((row, l) => context.lineTo(x(l), y(row.data[k])));
    context.stroke();
    context.fillText(classes[k].slice(0, 18), x(L) + 6, heights[i], right - 6);
  });
  const names = chosen.map(([k]) => `${classes[k]}: ${seen.lens.map(row => `${Math.round(100 * row.data[k])} %`).join(", ")}`);
  const first = chosen[0][0], from = 1 + seen.lens.findLastIndex(row => best(row.data, 1)[0][0] !== first);
  explained.textContent = from === 0 ? `${isolated(classes[first])} is the likeliest class even before block 1.`
    : `${isolated(classes[first])} is the likeliest class from block ${from} on.`;
  canvas.setAttribute("aria-label", `Probabilities before block 1 and after each block. ${names.join("; ")}`);
}

/** Heights in rising order, moved so that none is closer to the next than `gap` or lower than `lowest`. */
function apart(heights, gap, lowest) {
  const moved = [];
  heights.forEach((height, i) => moved.push(i ? Math.max(height, moved[i - 1] + gap) : height));
  for (let i = moved.length - 1, most = lowest; i >= 0; i--, most -= gap) moved[i] = Math.min(moved[i], most);
  return moved;
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

const playedOnce = new Set();                            // steps that have been played: none plays by itself again

/** Play a step: its numbers appear token by token, and the image marks the token. `quiet`: it says nothing meanwhile. */
function playStep(live, quiet = false) {
  const begun = performance.now(), length = (quiet ? 25 : 60) * Math.max(20, Math.min(70, T));
  const mine = stepPlayed = { live, token: 0, share: 0, quiet };
  playedOnce.add(live);
  return new Promise(done => {
    const frame = now => {
      if (stepPlayed !== mine) return done(false);         // another step is played, or something has changed
      mine.share = Math.min(1, Math.max(0, now - begun) / length);
      mine.token = Math.min(T - 1, Math.floor(mine.share * T));
      if (mine.share === 1) stepPlayed = null;
      drawStage();
      for (const panel of panels) if (panel.live === live && panel.visible) enqueue(panel);
      if (stepPlayed) requestAnimationFrame(frame);
      else done(true);
    };
    requestAnimationFrame(frame);
  });
}

// A step plays once by itself when it has come into view and the visitor does nothing for a moment; it stops at once
// when they do something, and where motion is to be reduced none plays.
const QUIET = 500;                                       // milliseconds without anything done
const inView = new Set();
let pausing = 0;

function playWhenQuiet() {
  clearTimeout(pausing);
  if (!stillness.matches) pausing = setTimeout(playInView, QUIET);
}

function playInView() {
  if (!seen || stepPlayed || stillness.matches || element("numbers").open) return;
  const next = [...document.querySelectorAll(STEPS)].find(part => inView.has(part) && !playedOnce.has(part));
  if (next) playStep(next, true).then(whole => whole && playWhenQuiet());
}

function interrupt() {
  if (stepPlayed && stepPlayed.quiet) {
    stepPlayed = null;
    redraw();
  }
  playWhenQuiet();
}
for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchmove", "scroll"]) {
  document.addEventListener(kind, interrupt, { passive: true, capture: true });
}
const STEPS = "section:not(#training) .live";
const comesIntoView = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target);
    else inView.delete(target);
  }
  playWhenQuiet();
}, { rootMargin: "0px 0px -40% 0px" });                  // its top is in the upper part of the window

for (const part of document.querySelectorAll(STEPS)) {
  const button = Object.assign(document.createElement("button"), { className: "play", textContent: "▶ play this step" });
  const title = part.closest("section").querySelector("h2").textContent;
  const before = [...part.closest("section").querySelectorAll("h3")].filter(h => h.compareDocumentPosition(part) & Node.DOCUMENT_POSITION_FOLLOWING);
  button.setAttribute("aria-label", `play this step: ${before.length ? before.at(-1).textContent : title}`);
  button.onclick = () => playStep(part);
  part.before(button);
  comesIntoView.observe(part);
}

/** Play one step after another. */
element("play-all").onclick = async () => {
  for (const part of document.querySelectorAll(STEPS)) {
    part.previousElementSibling.scrollIntoView({ block: "start" });
    if (!await playStep(part)) return;
  }
};

const showPart = id => element(id).scrollIntoView({ block: "start" });
const TRIES = {
  attend: () => { if (state.token < FRONT) chooseToken(MIDDLE); showPart("whom"); },
  head: () => showPart("what-is-a-head"),
  temperature: () => showPart("what-temperature-does"),
  without: () => { showPart("each-head"); whenReady(switchOffEachHead); },
  wrong: () => { showPart("each-patch"); whenReady(askWhyWrong); },
  positions: () => {
    if (element("positions").checked && page.weights.positions) {
      element("positions").click();
      switchedByQuestion = true;
    }
    showPart("positions-off");
  },
  know: () => showPart("lens"),
  erase: () => { useTool("erase"); element("stage").focus(); },
  number: () => {
    if (state.token < FRONT) chooseToken(MIDDLE);
    document.querySelector("#embedding figcaption button").click();
    element("numbers").querySelector("tr.chosen button").click();            // an example
  },
};
for (const button of document.querySelectorAll("[data-try]")) {
  button.onclick = () => {                               // what the last question has switched or chosen does not stay
    if (switchedByQuestion) element("positions").click();
    if (state.tool !== "choose") useTool("choose");
    TRIES[button.dataset.try]();
  };
}
element("class-token").onclick = () => chooseToken(0);
element("each-head-off").onclick = () => whenReady(switchOffEachHead);
element("each-patch-off").onclick = () => whenReady(eraseEachPatch);

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
    button.setAttribute("aria-pressed", i === chosen);
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
  element("use").textContent = USES[state.tool];
  const changes = changesInWords();
  element("changes").textContent = changes.length ? `Changed: ${changes.join(", ")}.` : "";
  showMoment();
}

/** What the visitor has changed, in words. */
function changesInWords() {
  const { positions, temperature, order, blocksOff, residualOff, headsOff } = state.edits;
  return [...(positions ? [] : ["no position embeddings"]), ...(order ? ["patches in another order"] : []),
    ...blocksOff.map(l => `block ${l + 1} off`), ...residualOff.map(l => `block ${l + 1} without its residual connection`),
    ...headsOff.map(name => `head ${Number(name.split(".")[1]) + 1} of block ${Number(name.split(".")[0]) + 1} off`),
    ...(temperature === 1 ? [] : [`temperature ${short(temperature)}`]), ...(painted ? ["the image"] : [])];
}

function choices(id, count, name, choose) {
  element(id).append(...Array.from({ length: count }, (_, i) => {
    const button = Object.assign(document.createElement("button"), { textContent: `${name} ${i + 1}` });
    button.onclick = () => {
      choose(i);
      showSwitches();
      redraw();
    };
    return button;
  }));
}
choices("blocks", config.depth, "block", i => { state.block = i; });
choices("heads", config.heads, "head", i => { state.head = i; });

function onSwitch(id, change) {
  element(id).oninput = event => {
    change(event.target);
    changed();
  };
}
onSwitch("positions", ({ checked }) => {
  state.edits.positions = checked;
  switchedByQuestion = false;
});
onSwitch("block-on", ({ checked }) => { state.edits.blocksOff = toggled(state.edits.blocksOff, state.block, checked); });
onSwitch("residual-on", ({ checked }) => { state.edits.residualOff = toggled(state.edits.residualOff, state.block, checked); });
onSwitch("head-on", ({ checked }) => {
  state.edits.headsOff = toggled(state.edits.headsOff, `${state.block}.${state.head}`, checked);
});
onSwitch("temperature", ({ value }) => { state.edits.temperature = 2 ** Number(value); });

function useTool(tool) {
  state.tool = tool;
  picked = null;
  showSwitches();
  drawStage();
}
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => useTool(button.dataset.tool);
const currentOrder = () => state.edits.order || Array.from({ length: N }, (_, n) => n);
for (const button of document.querySelectorAll("#shuffle, #shuffle-here")) button.onclick = shuffle;
function shuffle() {
  const order = currentOrder().slice();
  for (let n = N - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [order[n], order[other]] = [order[other], order[n]];
  }
  state.edits.order = order;
  changed();
}
element("clear").onclick = () => {
  state.pixels.fill(255);                                // white under a black pen: a small model may not see little contrast
  beginImage(-1);
  state.tool = "draw";
  changed();
};
element("reset").onclick = () => {
  state.edits = noEdits(config);
  switchedByQuestion = false;
  if (painted && original) {
    Object.assign(state, original);
    painted = false;
  }
  if (state.sample >= 0) choose(state.sample);
  else changed();
};

/** Which pixel of the image is under the pointer. */
function pixelAt(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [Math.floor((event.clientX - box.left) / box.width * WIDTH), Math.floor((event.clientY - box.top) / box.height * HEIGHT)];
}

function patchAt([x, y]) {
  const row = Math.floor(y / P), column = Math.floor(x / P);
  return row >= 0 && row < ROWS && column >= 0 && column < COLUMNS ? row * COLUMNS + column : null;
}

const PEN = Math.round(Math.max(HEIGHT, WIDTH) / 32);   // pixels on each side of the pen's middle
let lastDrawn = [0, 0];                                  // where the pen was
let lastDragged = [0, 0];                                // where the pointer was that moves the picture, in the window

/** Keep the image as it is before the visitor draws or erases on it. */
function beginPainting() {
  if (!painted) original = { pixels: state.pixels.slice(), sample: state.sample };
  painted = true;
  state.sample = -1;
}

/** Fill the pixels that are shown around one with a colour. */
function paint([x, y], radius, rgb) {
  for (let v = Math.max(0, y - radius); v <= Math.min(HEIGHT - 1, y + radius); v++) {
    for (let u = Math.max(0, x - radius); u <= Math.min(WIDTH - 1, x + radius); u++) {
      state.pixels.set(rgb, 3 * pixelShownAt(u, v));
    }
  }
}

/** Fill a patch of an image with grey. */
function erased(pixels, n) {
  const left = (n % COLUMNS) * P, top = Math.floor(n / COLUMNS) * P;
  for (let y = 0; y < P; y++) for (let x = 0; x < P; x++) pixels.set([128, 128, 128], 3 * ((top + y) * WIDTH + left + x));
  return pixels;
}

/** What the chosen tool does, beside the image. */
const USES = { choose: "", draw: "Draw on the image.", erase: "Click the patches that you want to erase.",
  swap: "Click two patches to swap them.", move: "Drag the picture to place it." };
const USE = {
  choose: (pixel, first, event) => {
    const n = patchAt(pixel);
    if (n !== null) chooseToken(n + FRONT, first || Boolean(event.buttons));
  },
  draw: (pixel, first) => {
    const hex = element("colour").value, rgb = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
    beginPainting();
    const from = first ? pixel : lastDrawn, steps = Math.max(1, ...pixel.map((to, i) => Math.abs(to - from[i])));
    for (let step = 0; step <= steps; step++) {            // a fast pen leaves no gaps
      paint(pixel.map((to, i) => Math.round(from[i] + (to - from[i]) * step / steps)), PEN, rgb);
    }
    lastDrawn = pixel;
    changed();
  },
  erase: pixel => {
    const n = patchAt(pixel);
    if (n === null) return;
    beginPainting();
    erased(state.pixels, currentOrder()[n]);
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
  move: (pixel, first, { clientX, clientY }) => {        // browsers differ in the unit of movementX
    const [x, y] = lastDragged;
    lastDragged = [clientX, clientY];
    if (first) return;
    placed.x += (clientX - x) / element("stage").clientWidth * WIDTH;
    placed.y += (clientY - y) / element("stage").clientHeight * HEIGHT;
    place();
  },
};
element("stage").onpointerdown = event => {
  if (!event.isPrimary) return;                          // a second finger
  element("stage").setPointerCapture(event.pointerId);
  USE[state.tool](pixelAt(event), true, event);
};
element("stage").onpointermove = event => {
  const used = event.isPrimary && element("stage").hasPointerCapture(event.pointerId);   // it was pressed on the image
  if (used || (state.tool === "choose" && event.pointerType === "mouse" && seen)) USE[state.tool](pixelAt(event), false, event);
};
element("stage").onpointerleave = () => {
  if (seen && state.token !== pinned) chooseToken(pinned);
};

/**
 * Arrow keys choose the patch beside the chosen one, if there is one, or move the picture; Enter uses the tool on the
 * chosen patch. A button chooses the class token, which is beside no patch; from it, each arrow leads to the first patch.
 */
element("stage").onkeydown = event => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!seen || !(move || event.key === "Enter" || event.key === " ")) return;
  event.preventDefault();
  const n = state.token - FRONT, middle = [n % COLUMNS * P + P / 2, Math.floor(n / COLUMNS) * P + P / 2].map(Math.floor);
  if (state.tool === "move") {
    if (!move) return;
    placed.x += move[0] * WIDTH / 32;
    placed.y += move[1] * HEIGHT / 32;
    place();
  } else if (move) {
    const next = n < 0 ? 0 : patchAt(middle.map((pixel, i) => pixel + P * move[i]));
    if (next !== null) chooseToken(next + FRONT);
  } else if (n >= 0) USE[state.tool](middle, true, event);
};

// -- images -------------------------------------------------------------------------------------------------

const bytesOf = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));

/** Show one of the page's images. */
function choose(i) {
  state.pixels = bytesOf(samples[i].pixels);
  beginImage(i);
  say("");
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
  painted = false;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (WIDTH - w) / 2 + placed.x, (HEIGHT - h) / 2 + placed.y, w, h);
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  for (let p = 0; p < WIDTH * HEIGHT; p++) state.pixels.set(data.subarray(4 * p, 4 * p + 3), 3 * p);
  state.sample = -1;
  changed();
}

/** The picture of a file, no larger than the largest zoom needs. */
async function pictureOf(file) {
  const whole = await createImageBitmap(file), scale = 5 * Math.max(HEIGHT, WIDTH) / Math.min(whole.width, whole.height);
  if (scale >= 1) return whole;
  const size = { resizeWidth: Math.round(whole.width * scale), resizeHeight: Math.round(whole.height * scale) };
  const smaller = await createImageBitmap(whole, { ...size, resizeQuality: "high" });
  whole.close();
  return smaller;
}

async function take(file) {
  if (!file) {
    say("Nothing was taken: drop or choose an image file.");
    return;
  }
  const name = isolated(file.name);
  let bitmap;
  try {
    bitmap = await pictureOf(file);
  } catch {
    say(`${name} is not an image that this browser can read: choose a PNG, JPEG or WebP file of fewer than 100 million pixels`);
    return;
  }
  beginImage(-1, { bitmap, zoom: 1, x: 0, y: 0 });
  state.tool = "move";
  element("zoom").value = 1;
  say(`${name} is the image now.`);
  place();
}
element("file").onchange = ({ target }) => {
  take(target.files[0]);
  target.value = "";                                     // so that the same file can be chosen again
};
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
  return encodeURIComponent(JSON.stringify({ edits, token, block, head, sample, own, painted, step }));
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
    pause();
    if (whole(found.sample, samples.length)) choose(found.sample);
    else if (found.own && bytesOf(found.own).length === state.pixels.length) {
      state.pixels = bytesOf(found.own);
      beginImage(-1);
      painted = found.painted !== false;
      say("");
    } else return false;
    Object.assign(state, { edits: found.edits, token: found.token, block: found.block, head: found.head, moment });
    pinned = found.token;
    switchedByQuestion = false;
    return true;
  } catch {
    return false;
  }
}

let followed = "";                                       // the link that was followed or made last: changes came after it

/** The link that the address has now; "" if it has none, or that of a step. */
function linkInAddress() {
  const text = location.hash.slice(1);
  return element(text) ? "" : text;
}

/** Another link in the same tab changes the address alone: the page is not loaded again. */
window.addEventListener("hashchange", () => {
  const text = linkInAddress();
  if (!text || text === followed) return;
  followed = text;
  if (restore(text)) {
    element("numbers").close();
    changed();
  } else say("This link was made for another model, or it is cut short: nothing has changed.");
});

element("share").onclick = async () => {
  if (state.sample < 0 && !SMALL) say("The link restores everything but your picture, which is too large for it.");
  location.hash = followed = stateText();
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
const scrollers = new ResizeObserver(entries => {        // what scrolls can be scrolled by keyboard
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
for (const each of document.querySelectorAll(".equation, .source code")) scrollers.observe(each);
const SIZES = { H: HEIGHT, W: WIDTH, C: config.channels, P, N, PPC: P * P * config.channels, D, T, L: config.depth, Dh: D_h,
  heads: config.heads, MLP: config.mlp_dim, K: config.num_classes, rootDh: short(Math.sqrt(D_h)) };
for (const each of document.querySelectorAll("[data-size]")) each.textContent = SIZES[each.dataset.size].toLocaleString("en");
document.querySelector(".depth").textContent = config.depth;
document.querySelector(".heads").textContent = config.heads;
document.querySelector(".in-front").hidden = !FRONT;
const isToken = config.classifier === "token";
for (const each of document.querySelectorAll(".what-is-read")) each.textContent = isToken ? "the class token" : "the mean of the patches' tokens";
document.querySelector(".before-blocks").textContent = isToken
  ? " Before block 1, it has seen no patch: the start of each line is the same for every image." : "";
document.querySelector(".pooling").textContent = `The answer is read from ${isToken
  ? "the class token alone, after a last LayerNorm"
  : "the mean of all patches' tokens, with a last LayerNorm (global average pooling, appendix D.3)"}. `
  + "One linear layer, the classification head (which is not an attention head), gives each class a number, its logit. "
  + "Softmax turns the logits into probabilities, which add up to 100 % whatever the image shows: "
  + (config.num_classes === 1 ? "the model knows this one class alone, so its probability is always 100 %."
    : `the model knows these ${config.num_classes} classes alone, and one of them is always the likeliest.`);
document.documentElement.classList.toggle("inside", window !== window.parent);
element("stage").style.setProperty("--aspect", WIDTH / HEIGHT);
element("in-short-image").height = Math.round(44 * HEIGHT / WIDTH);
element("answer-in-short").onclick = () => element("image-and-answer").scrollIntoView();
window.addEventListener("resize", () => { if (seen) redraw(); });
setUpTraining();
function drawLegend() {
  const canvas = element("legend"), context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${colour(2 * x / (canvas.width - 1) - 1)})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}
drawLegend();
element("class-token").hidden = !FRONT;
if (FRONT) element("stage").ariaLabel += " A button below chooses the class token.";
followed = linkInAddress();
if (!(followed && restore(followed))) {
  if (samples.length) choose(0);
  if (followed) say("This link was made for another model, or it is cut short: the page begins anew.");
}
changed();
