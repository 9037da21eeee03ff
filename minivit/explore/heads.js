// What each head does for the answer: it is switched off alone, and the answer is computed again.
"use strict";

let heads = null;                                        // {asked, shares}: the answers without each head, by "block.head"
let asked = 0;                                           // so that a late answer to an earlier question is not shown

/** Ask the worker for the answer without each head, one after another: other answers come in between. */
function switchOffEachHead() {
  heads = { asked: ++asked, shares: {} };
  for (let l = 0; l < config.depth; l++) {
    if (state.edits.blocksOff.includes(l)) continue;
    for (let h = 0; h < config.heads; h++) {
      const without = `${l}.${h}`, edits = { ...state.edits, headsOff: [...state.edits.headsOff, without] };
      if (state.edits.headsOff.includes(without)) continue;
      worker.postMessage({ without, asked, moment: state.moment, scaling: page.scaling, pixels: state.pixels, edits });
    }
  }
  showHeads();
}

function headAnswered({ without, asked: question, shares }) {
  if (!heads || heads.asked !== question) return;
  heads.shares[without] = shares;
  showHeads();
}

/** The image or the model has changed: what was measured is no longer true. */
function forgetHeads() {
  if (!heads) return;
  heads = null;
  element("each-head-table").replaceChildren();
  element("each-head-said").textContent = "";
}

/** A table with the answer's probability without each head, and the head that it needs most. */
function showHeads() {
  const [[k, before]] = best(seen.probabilities.data, 1), found = Object.entries(heads.shares);
  const table = document.createElement("table"), top = table.createTHead().insertRow(), title = document.createElement("p");
  const cell = (row, kind, text, scope) => {
    const made = Object.assign(document.createElement(kind), { textContent: text });
    if (scope) made.scope = scope;
    row.append(made);
    return made;
  };
  title.textContent = `${className(k)} has ${percent(before)} with all heads. Without one head it has:`;
  table.setAttribute("aria-label", "the probability without each head");
  cell(top, "td", "");
  for (let h = 0; h < config.heads; h++) cell(top, "th", `head ${h + 1}`, "col");
  for (let l = 0; l < config.depth; l++) {
    const row = table.insertRow();
    cell(row, "th", `block ${l + 1}`, "row");
    for (let h = 0; h < config.heads; h++) {
      const shares = heads.shares[`${l}.${h}`], made = cell(row, "td", shares ? percent(shares[k]) : "…");
      if (shares) made.style.background = `rgba(var(--${shares[k] < before ? "low" : "high"}), ${Math.min(0.35, Math.abs(shares[k] - before))})`;
    }
  }
  element("each-head-table").replaceChildren(title, table);
  if (!found.length) return;
  const [name, least] = found.reduce((a, b) => b[1][k] < a[1][k] ? b : a), [l, h] = name.split(".").map(Number);
  const [[other]] = best(least, 1);
  element("each-head-said").textContent = `Without head ${h + 1} of block ${l + 1}, ${className(k)} falls most: from ${percent(before)} `
    + `to ${percent(least[k])}${other === k ? ", and the answer stays" : `, and the answer becomes ${className(other)}`}.`;
}
