// From the page's model and its numbers in base64 to the arrays that vit.js takes; the worker reads them too.
"use strict";

/** The numbers of a base64 text, as float32. */
function numbersOf(text, dtype) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  if (dtype === "float32") return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), fromHalf);
}

/** A float16, given as its 16 bits, as a number. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** {config, weights} of the page's model, whose numbers are a base64 text. */
function modelOf(page, text) {
  return placedModel(page, numbersOf(text, page.dtype));
}

/** {config, weights} with an array in every place that the page names. */
function placedModel({ config, weights }, numbers) {
  const placed = place => {
    if (place === null) return null;
    if (Array.isArray(place) && typeof place[0] === "number") {
      const [offset, rows, columns] = place;
      return { data: numbers.subarray(offset, offset + rows * columns), shape: [rows, columns] };
    }
    if (Array.isArray(place)) return place.map(placed);
    return Object.fromEntries(Object.entries(place).map(([name, inner]) => [name, placed(inner)]));
  };
  return { config, weights: placed(weights) };
}

/** Pixels of 0 to 255 as the model takes them: (value / 255 - mean) / std, channel by channel. */
function scaledPixels(pixels, { mean, std }) {
  return Float32Array.from(pixels, (value, i) => (value / 255 - mean[i % 3]) / std[i % 3]);
}

if (typeof module !== "undefined") module.exports = { modelOf, scaledPixels, numbersOf };
