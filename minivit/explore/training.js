// The training on a slider. A moment is a snapshot of the run with its own weights; the last one is the model itself.
"use strict";

const stillness = matchMedia("(prefers-reduced-motion: reduce)");
const PAUSE = 1000;                                      // milliseconds from a moment to the next while it plays
let playing = 0;                                         // its timer

/** Show the slider and the learning curve, if the page has snapshots. */
function setUpTraining() {
  if (!training) return;
  element("moments").hidden = element("training").hidden = false;
  document.documentElement.classList.add("has-moments");
  element("moment").max = MOMENTS - 1;
  element("moment").oninput = event => {
    const moment = Number(event.target.value);           // before `pause` sets the slider
    pause();
    goTo(moment);
  };
  element("play").onclick = () => stillness.matches ? goTo((state.moment + 1) % MOMENTS) : playing ? pause() : play();
  stillness.addEventListener("change", pause);
  element("training").querySelector(".moments").textContent = MOMENTS;
  element("training").querySelector(".note").textContent = training.images
    ? `Where the run did not measure the accuracy itself, it was measured on ${training.images} test images when this page was written.`
    : "";
  const made = figure(live("training"), "the learning curve; a click on it chooses the nearest moment");
  made.canvas.onclick = event => {
    const box = made.canvas.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * made.canvas.width;
    const far = training.steps.map(step => Math.abs(acrossCurve(step) - x));
    pause();
    goTo(far.indexOf(Math.min(...far)));
  };
  addPanel(made, drawCurve);
}

function goTo(moment) {
  state.moment = moment;
  changed();
}

/** Go through all moments, from the first if this is the last. */
function play() {
  if (state.moment === MOMENTS - 1) goTo(0);
  playing = setInterval(() => {
    if (busy) return;                                    // a large model may need longer than the pause
    if (state.moment < MOMENTS - 1) goTo(state.moment + 1);
    if (state.moment === MOMENTS - 1) pause();
  }, PAUSE);
  showMoment();
}

function pause() {
  clearInterval(playing);
  playing = 0;
  showMoment();
  if (seen) showAnswer();
}

/** A moment in words: its step, and how many answers were right. */
function momentName(moment) {
  const accuracy = training.accuracies[moment], step = training.steps[moment].toLocaleString("en");
  const named = `step ${step} of ${training.steps[MOMENTS - 1].toLocaleString("en")}`;
  return accuracy === null ? named : `${named}: ${training.measure} ${(100 * accuracy).toFixed(1)} %`;
}

function showMoment() {
  if (!training) return;
  element("moment").value = state.moment;
  element("moment").setAttribute("aria-valuetext", momentName(state.moment));
  element("moment-is").textContent = momentName(state.moment);
  element("play").textContent = stillness.matches ? "next moment" : playing ? "pause" : "play the training";
}

// -- the learning curve -------------------------------------------------------------------------------------

const CURVE = { left: 48, across: 380, right: 132, high: 120, gap: 34, top: 18 };

/** Where a step is on the curve, in pixels: as far from 0 as its logarithm. */
function acrossCurve(step) {
  return CURVE.left + CURVE.across * Math.log1p(step) / Math.log1p(training.steps[MOMENTS - 1]);
}

/** Accuracy above loss, with a point for each snapshot and a line at the chosen moment. */
function drawCurve({ canvas }) {
  const { left, across, right, high, gap, top } = CURVE, bottom = top + 2 * high + gap;
  canvas.width = left + across + right;
  canvas.height = bottom + 40;
  const context = canvas.getContext("2d"), ink = getComputedStyle(document.body).color;
  const colours = isDark() ? ["#56b4e9", "#e69f00", "#2cc99b"] : ["#0072b2", "#d55e00", "#007a55"];
  const { lines, steps, accuracies } = training, kinds = Object.keys(lines);
  const losses = kinds.flatMap(kind => lines[kind].map(point => point[1])).filter(loss => loss !== null);
  const most = Math.max(1e-6, ...losses);
  const heights = { loss: loss => top + high + gap + high * (1 - loss / most), accuracy: share => top + high * (1 - share) };
  const text = (words, x, y, align = "left") => {
    context.textAlign = align;
    context.fillText(words, x, y);
  };

  context.font = "12px system-ui, sans-serif";
  context.fillStyle = context.strokeStyle = ink;
  text(training.measure, left, top - 6);
  text("loss", left, top + high + gap - 6);
  for (const [words, y] of [["100 %", heights.accuracy(1)], ["0 %", heights.accuracy(0)],
    [losses.length ? short(most) : "", heights.loss(most)], [losses.length ? "0" : "", heights.loss(0)]]) text(words, left - 6, y + 4, "right");
  context.globalAlpha = 0.4;
  context.strokeRect(left + 0.5, top + 0.5, across, high);
  context.strokeRect(left + 0.5, top + high + gap + 0.5, across, high);
  context.globalAlpha = 1;
  let free = 0;                                          // from here on, a label hits none before it
  for (const step of steps) {
    const words = step.toLocaleString("en"), half = context.measureText(words).width / 2;
    if (acrossCurve(step) - half > free) {
      text(words, acrossCurve(step), bottom + 16, "center");
      free = acrossCurve(step) + half + 4;
    }
  }
  text("training step, on a logarithmic scale", left, bottom + 34);

  kinds.forEach((kind, i) => {
    context.strokeStyle = context.fillStyle = colours[i];
    context.lineWidth = 2;
    [["loss", 1], ["accuracy", 2]].forEach(([measure, column]) => {
      const points = lines[kind].filter(point => point[column] !== null);
      context.beginPath();
      for (const point of points) context.lineTo(acrossCurve(point[0]), heights[measure](point[column]));
      context.stroke();
      if (points.length < 3) for (const point of points) context.fillRect(acrossCurve(point[0]) - 3, heights[measure](point[column]) - 3, 6, 6);
    });
    text(kind === "train" ? "training images" : `${kind} images`, left + across + 8, top + high + gap + 12 + 18 * i);
  });
  context.fillStyle = context.strokeStyle = colours[2];
  text("● snapshots", left + across + 8, top + 12);
  accuracies.forEach((accuracy, moment) => {
    if (accuracy === null) return;
    context.beginPath();
    context.arc(acrossCurve(steps[moment]), heights.accuracy(accuracy), moment === state.moment ? 6 : 4, 0, 2 * Math.PI);
    context.fill();
  });
  context.fillStyle = ink;
  context.fillRect(acrossCurve(steps[state.moment]) - 1, top, 2, bottom - top);
  canvas.setAttribute("aria-label", `Learning curve. Chosen: ${momentName(state.moment)}. All moments: ${steps.map((_, i) => momentName(i)).join("; ")}.`);
}
