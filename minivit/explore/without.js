// What a part does for the answer: each head is switched off, or each patch erased, alone, and the answer computed again.
"use strict";

const NONE = { heads: null, patches: null, together: null, samples: null };
const LITTLE = 0.2;                                       // of what speaks for the answer: it can hardly be seen
const TOGETHER = 8;                                      // patches that are erased together, at most
let without = { ...NONE };                               // by kind: {asked, left, found}, the questions and the answers by name
let asked = 0;                                           // so that a late answer to an earlier question is not shown

/** Ask the worker questions of one kind, each when the last is answered, so that other answers come in between. */
function ask(kind, questions) {
  without[kind] = { asked: ++asked, left: questions, count: questions.length, found: {} };
  askNext(without[kind]);
}

function askNext({ asked, left }) {
  if (!left.length) return;
  const { name, pixels = state.pixels, edits = state.edits } = left.shift();
  worker.postMessage({ without: name, asked, moment: state.moment, scaling: page.scaling, pixels, edits });
}

function answeredWithout({ without: name, asked: question, shares, logits }) {
  const kind = Object.keys(without).find(each => without[each] && without[each].asked === question);
  if (!kind) return;
  without[kind].found[name] = { shares, logits };
  askNext(without[kind]);
  ({ heads: showHeads, patches: showPatches, together: showPatches, samples: showWrong })[kind]();
}

/** The image or the model has changed: what was measured is no longer true. */
function forgetWithout() {
  for (const kind of ["heads", "patches"]) {
    if (!without[kind]) continue;
    element(`each-${kind}`).replaceChildren();
    element(`each-${kind}-said`).textContent = "";
  }
  without = { ...NONE };
}

/** Do something when the newest answer is there. */
function whenReady(action) {
  if (seen && !busy && !waiting) action();
  else afterwards = action;
}

// -- heads --------------------------------------------------------------------------------------------------

function switchOffEachHead() {
  const questions = [];
  for (let l = 0; l < config.depth; l++) {
    if (state.edits.blocksOff.includes(l)) continue;
    for (let h = 0; h < config.heads; h++) {
      const name = `${l}.${h}`, { headsOff } = state.edits;
      if (!headsOff.includes(name)) questions.push({ name, edits: { ...state.edits, headsOff: [...headsOff, name] } });
    }
  }
  ask("heads", questions);
  showHeads();
}

/** A table with the answer's probability without each head, and the head that it needs most. */
function showHeads() {
  const [[k, before]] = best(seen.probabilities.data, 1), found = Object.entries(without.heads.found);
  const table = document.createElement("table"), top = table.createTHead().insertRow(), title = document.createElement("p");
  title.textContent = `${className(k)} has ${percent(before)} with all heads. Without one head it has:`;
  table.setAttribute("aria-label", "the probability without each head");
  top.append(cell("td", ""), ...Array.from({ length: config.heads }, (_, h) => cell("th", `head ${h + 1}`, "col")));
  for (let l = 0; l < config.depth; l++) {
    const row = table.insertRow();
    row.append(cell("th", `block ${l + 1}`, "row"));
    for (let h = 0; h < config.heads; h++) {
      const answer = without.heads.found[`${l}.${h}`], made = cell("td", answer ? percent(answer.shares[k]) : "…");
      row.append(made);
      if (!answer) continue;
      const change = answer.shares[k] - before;
      made.style.background = `rgba(var(--${change < 0 ? "low" : "high"}), ${Math.min(0.35, Math.abs(change))})`;
    }
  }
  element("each-heads").replaceChildren(title, table);
  if (!found.length) return;
  const [name, { shares }] = found.reduce((a, b) => b[1].shares[k] < a[1].shares[k] ? b : a), [l, h] = name.split(".").map(Number);
  const [[other]] = best(shares, 1);
  element("each-heads-said").textContent = `Without head ${h + 1} of block ${l + 1}, ${className(k)} falls most: from ${percent(before)} `
    + `to ${percent(shares[k])}${other === k ? ", and the answer stays" : `, and the answer becomes ${className(other)}`}.`;
}

// -- patches ------------------------------------------------------------------------------------------------

function eraseEachPatch() {
  ask("patches", currentOrder().map((from, n) => ({ name: n, pixels: erased(state.pixels.slice(), from) })));
  showPatches();
}

/** The class that the answer is compared with: the label if the answer is wrong, or else the second likeliest. */
function rival() {
  const [[k], [second]] = best(seen.probabilities.data, 2), label = labelOf(state.sample);
  return [k, label === null || label === k ? second : label];
}

/** How much of the answer's lead over its rival goes with each patch: positive, the patch speaks for the answer. */
function leads(found) {
  const [k, other] = rival(), lead = logits => logits[k] - logits[other], whole = lead(seen.logits.data);
  return { whole, gone: Array.from({ length: N }, (_, n) => n in found ? whole - lead(found[n].logits) : 0) };
}

/** The image twice, with the patches that speak for the answer and those that speak for its rival, and the largest in words. */
function showPatches() {
  const { found, count } = without.patches, parts = element("each-patches"), [k, other] = rival();
  const { whole, gone } = leads(found), most = Math.max(...gone.map(Math.abs)), done = Object.keys(found).length;
  if (!parts.childElementCount) {
    for (const part of [k, other]) figure(parts, `patches that speak for ${className(part)} keep their colours`);
  }
  [...parts.querySelectorAll("canvas")].forEach((canvas, i) => {
    drawImage(canvas, gone.map(each => Math.max(0, i ? -each : each)), 256, null, most);
  });
  if (done < count) {
    element("each-patches-said").textContent = `${done} of ${count} patches`;
    return;
  }
  const at = gone.indexOf(Math.max(...gone)), against = gone.indexOf(Math.min(...gone));
  const flips = Object.entries(found).map(([n, { shares }]) => [Number(n), best(shares, 1)[0][0]]).filter(([, answer]) => answer !== k);
  const label = labelOf(state.sample);
  const parted = label === null || label === k ? [] : [`The answer is ${className(k)}, the label ${className(label)}.`];
  parted.push(`The lead of ${className(k)} over ${className(other)}, logit minus logit, is ${short(whole)}.`);
  if (gone[at] > 0) parted.push(`Without ${tokenName(at + FRONT)} it is ${short(whole - gone[at])}: this patch speaks most for ${className(k)}.`);
  if (gone[against] < 0) {
    parted.push(`Without ${tokenName(against + FRONT)} it is ${short(whole - gone[against])}: this patch speaks most for ${className(other)}.`);
  }
  if (-gone[against] < LITTLE * gone[at]) parted.push(`No patch speaks much for ${className(other)}: its picture is nearly all grey.`);
  parted.push(flips.length ? `${flips.length} of ${N} patches change the answer when they are erased alone: without patch ${flips[0][0] + 1} `
    + `it is ${className(flips[0][1])}.` : "No single patch changes the answer.");
  element("each-patches-said").textContent = [...parted, ...erasedTogether(k, gone)].join(" ");
}

/** Erase the patches that speak most for the answer together, first one, then two ...; what that does, in sentences. */
function erasedTogether(k, gone) {
  const order = best(gone, TOGETHER).filter(([, each]) => each > 0).map(([n]) => n);
  if (!without.together) {
    const pixels = state.pixels.slice(), from = currentOrder();
    ask("together", order.map((n, i) => ({ name: i, pixels: erased(pixels, from[n]).slice() })));
  }
  const { found } = without.together, names = count => order.slice(0, count).map(n => n + 1).join(", ");
  const turned = order.findIndex((_, i) => i in found && best(found[i].shares, 1)[0][0] !== k);
  if (turned > 0) return [`Without patches ${names(turned + 1)} together, it is ${className(best(found[turned].shares, 1)[0][0])}.`];
  if (turned === 0 || order.length < 2 || !(order.length - 1 in found)) return [];
  return [`Even without patches ${names(order.length)} together, it stays ${className(k)}.`];
}

// -- a wrong answer -----------------------------------------------------------------------------------------

/** Go to an image of the page that gets a wrong answer, unless the chosen one does, and erase each of its patches. */
function askWhyWrong() {
  if (isWrong()) {
    eraseEachPatch();
    return;
  }
  const labelled = samples.map((_, i) => i).filter(i => labelOf(i) !== null);
  const edits = { ...state.edits, order: null };             // an image that is chosen has its patches in their order
  ask("samples", labelled.map(i => ({ name: i, pixels: bytesOf(samples[i].pixels), edits })));
  if (!labelled.length) say("The images of this page have no labels: nobody knows which answers are wrong.");
}

function showWrong() {
  const { found, left } = without.samples;
  const wrong = Object.keys(found).map(Number).find(i => best(found[i].shares, 1)[0][0] !== labelOf(i));
  if (wrong === undefined) {
    if (Object.keys(found).length === without.samples.count) {
      say("The answers to all images of this page are right: draw a shape that gets a wrong one.");
      eraseEachPatch();
    }
    return;
  }
  left.length = 0;
  choose(wrong);
  whenReady(eraseEachPatch);
}
