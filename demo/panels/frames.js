// Pictures of frames, by address: what the stage, Look inside and Compare share.  It stands before their own scripts.
const $ = (selector) => element.querySelector(selector);
const loaded = new Map();   // address -> a promise of its picture, or of null
function load(url) {
  if (!url) return Promise.resolve(null);
  if (loaded.has(url)) return loaded.get(url);
  if (loaded.size > 160) loaded.delete(loaded.keys().next().value);
  const picture = new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => { loaded.delete(url); done(null); };
    image.src = url;
  });
  loaded.set(url, picture);
  return picture;
}
const covered = (ranges, index) => (ranges || []).some(([from, to]) => index >= from && index < to);
const address = (folder, kind, index, extension) =>
  `${window.gradio_config?.root ?? ""}/gradio_api/file=${folder}/${kind}/${String(index).padStart(5, "0")}.${extension}`;
// Masks come in the colours of their files; on the screen objects have the colours that the server chose for them: `state.objects`.
const rgb = (css) => [1, 3, 5].map((at) => parseInt(css.slice(at, at + 2), 16));
const abgr = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
const light = (color) => color.map((value) => Math.round(255 - 0.35 * (255 - value)));   // as in palette.py
const layers = new Map();   // the last few: mask picture -> canvas with a transparent background, and a sharp outline
function layer(image) {
  if (layers.has(image)) return layers.get(image);
  if (layers.size >= 6) layers.delete(layers.keys().next().value);   // two canvases of the clip's size each
  const out = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = out.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, out.width, out.height), color = new Uint32Array(pixels.data.buffer);
  const width = out.width, source = color.slice(), black = 0xff000000;
  const shown = new Map((state.objects || []).map((one) => [abgr(rgb(one.palette)), rgb(one.color)]));
  const fills = new Map([...shown].map(([key, value]) => [key, abgr(value)]));
  const edges = new Map([...shown].map(([key, value]) => [key, abgr(light(value))]));
  for (let i = 0; i < color.length; i++) color[i] = source[i] === black ? 0 : fills.get(source[i]) ?? source[i];
  context.putImageData(pixels, 0, 0);
  const edge = new OffscreenCanvas(width, out.height), edgeContext = edge.getContext("2d");
  const line = edgeContext.createImageData(width, out.height), outline = new Uint32Array(line.data.buffer);
  for (let i = 0; i < source.length; i++) {
    if (source[i] === black) continue;
    if (source[i - 1] !== source[i] || source[i + 1] !== source[i] || source[i - width] !== source[i] || source[i + width] !== source[i])
      outline[i] = edges.get(source[i]) ?? source[i];
  }
  edgeContext.putImageData(line, 0, 0);
  layers.set(image, { fill: out, edge });
  return layers.get(image);
}
// A frame with its mask over it.
function overlay(context, photo, mask, width, height, opacity = 0.5, left = 0) {
  context.drawImage(photo, left, 0, width, height);
  if (!mask) return;
  const { fill, edge } = layer(mask);
  context.globalAlpha = opacity;
  context.drawImage(fill, left, 0, width, height);
  context.globalAlpha = 1;
  context.drawImage(edge, left, 0, width, height);
}
