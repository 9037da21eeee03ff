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
  element("each-patches-progress").textContent = "";
  without = { ...NONE };
}

/** Write a result, unless it is written already: a screen reader says each text that is written, even the same one again. */
function tellResult(kind, text) {
  const said = element(`each-${kind}-said`);
  if (said.textContent !== text) said.textContent = text;
}

/** Do something when the newest answer is there. */
function whenReady(action) {
  if (seen && !busy && !waiting) action();
  else afterwards = action;
}

// -- heads --------------------------------------------------------------------------------------------------

const isOff = (l, h) => state.edits.blocksOff.includes(l) || state.edits.headsOff.includes(`${l}.${h}`);

function switchOffEachHead() {
  const questions = [];
  for (let l = 0; l < config.depth; l++) {
    for (let h = 0; h < config.heads; h++) {
      const name = `${l}.${h}`, { edits } = state;
      if (!isOff(l, h)) questions.push({ name, edits: { ...edits, headsOff: [...edits.headsOff, name] } });
    }
  }
  tellResult("heads", "");
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
      const answer = without.heads.found[`${l}.${h}`];
      const made = cell("td", answer ? percent(answer.shares[k]) : isOff(l, h) ? "off" : "…");
      row.append(made);
      if (!answer) continue;
      const change = answer.shares[k] - before;
      made.style.background = `rgba(var(--${change < 0 ? "low" : "high"}), ${Math.min(0.35, Math.abs(change))})`;
    }
  }
  element("each-heads").replaceChildren(title, table);
  if (!found.length || found.length < without.heads.count) return;
  const [name, { shares }] = found.reduce((a, b) => b[1].shares[k] < a[1].shares[k] ? b : a), [l, h] = name.split(".").map(Number);
  const [[other]] = best(shares, 1), [was, now] = [before, shares[k]].map(percent);
  const change = was === now ? `keeps ${was}` : `${shares[k] < before ? "falls most" : "rises least"}: from ${was} to ${now}`;
  tellResult("heads", `Without head ${h + 1} of block ${l + 1}, ${className(k)} ${change}, and the answer `
    + `${other === k ? "stays" : `becomes ${className(other)}`}.`);
}

// -- patches ------------------------------------------------------------------------------------------------

function eraseEachPatch() {
  tellResult("patches", "");
  ask("patches", currentOrder().map((from, n) => ({ name: n, pixels: erased(state.pixels.slice(), from) })));
  showPatches();
}

/**
 * The answer, and the class that it is compared with: the label if the answer is wrong, or else the second likeliest;
 * undefined if the model has one class alone.
 */
function rival() {
  const [k, second] = best(seen.probabilities.data, 2).map(([each]) => each), label = labelOf(state.sample);
  return [k, label === null || label === k ? second : label];
}

/**
 * How much of the answer's lead over its rival goes with each patch: positive, the patch speaks for the answer.
 * Without a rival, the lead is the answer's logit.
 */
function leads(found) {
  const [k, other] = rival(), lead = logits => logits[k] - (other === undefined ? 0 : logits[other]);
  const whole = lead(seen.logits.data);
  return { whole, gone: Array.from({ length: N }, (_, n) => n in found ? whole - lead(found[n].logits) : 0) };
}

/** The image twice, with the patches that speak for the answer and those that speak for its rival, and the largest in words. */
function showPatches() {
  const { found, count } = without.patches, parts = element("each-patches"), [k, other] = rival();
  const { whole, gone } = leads(found), most = Math.max(...gone.map(Math.abs)), done = Object.keys(found).length;
  const sides = [`for ${className(k)}`, other === undefined ? `against ${className(k)}` : `for ${className(other)}`];
  if (!parts.childElementCount) {
    for (const side of sides) figure(parts, `patches that speak ${side} keep their colours`);
  }
  [...parts.querySelectorAll("canvas")].forEach((canvas, i) => {
    drawImage(canvas, gone.map(each => Math.max(0, i ? -each : each)), 256, null, most);
  });
  const together = done < count ? null : erasedTogether(k, gone);
  element("each-patches-progress").textContent = together ? "" : `${done} of ${count} patches`;
  if (!together) return;
  const at = gone.indexOf(Math.max(...gone)), against = gone.indexOf(Math.min(...gone));
  const flips = Object.entries(found).map(([n, { shares }]) => [Number(n), best(shares, 1)[0][0]]).filter(([, answer]) => answer !== k);
  const label = labelOf(state.sample);
  const parted = label === null || label === k ? [] : [`The answer is ${className(k)}, the label ${className(label)}.`];
  parted.push(other === undefined ? `The logit of ${className(k)} is ${short(whole)}.`
    : `The lead of ${className(k)} over ${className(other)}, logit minus logit, is ${short(whole)}.`);
  if (gone[at] > 0) parted.push(`Without ${tokenName(at + FRONT)} it is ${short(whole - gone[at])}: this patch speaks most ${sides[0]}.`);
  if (gone[against] < 0) {
    parted.push(`Without ${tokenName(against + FRONT)} it is ${short(whole - gone[against])}: this patch speaks most ${sides[1]}.`);
  }
  if (-gone[against] < LITTLE * gone[at]) parted.push(`No patch speaks much ${sides[1]}: its picture is nearly all grey.`);
  parted.push(flips.length ? `${flips.length} of ${N} patches change the answer when they are erased alone: without patch ${flips[0][0] + 1} `
    + `it is ${className(flips[0][1])}.` : "No single patch changes the answer.");
  tellResult("patches", [...parted, ...together].join(" "));
}

/**
 * Erase the patches that speak most for the answer together, first one, then two ...; what that does, in sentences,
 * null while it is not known.
 */
function erasedTogether(k, gone) {
  const order = best(gone, TOGETHER).filter(([, each]) => each > 0).map(([n]) => n);
  if (!without.together) {
    const pixels = state.pixels.slice(), from = currentOrder();
    ask("together", order.map((n, i) => ({ name: i, pixels: erased(pixels, from[n]).slice() })));
  }
  const { found } = without.together, names = count => order.slice(0, count).map(n => n + 1).join(", ");
  const turned = order.findIndex((_, i) => i in found && best(found[i].shares, 1)[0][0] !== k);
  if (turned > 0) return [`Without patches ${names(turned + 1)} together, it is ${className(best(found[turned].shares, 1)[0][0])}.`];
  if (turned === 0 || order.length < 2) return [];
  if (!(order.length - 1 in found)) return null;
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
