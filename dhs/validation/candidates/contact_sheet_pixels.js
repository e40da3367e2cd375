
'use strict';
// A stamp is a line: three scales, then folded 16-bit steps of asinh(flux / scale), low bytes before high ones, deflated.
const STEPS = 100, KEPT = 400, SLICE_MS = 8;
const WEIGHT = {g: 2.6, r: 1.6, z: 1}, BANDS = ['g', 'r', 'z'], Q = 8, LINEAR = 0.08;
const WHITE = {linear: 10, sqrt: 40};  // of the linear range, where a pixel is full
const lines = id => document.getElementById(id).textContent.trim().split('\n');
const packed = {stamps: lines('stamps'), lenses: lines('lens-stamps')};
const kept = new Map(), jobs = [], rings = new Map();

async function inflate(line) {
  const [g, r, z, text] = line.split(' ');
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = planes.length / 2, area = size / 3, flux = new Float32Array(size);
  [g, r, z].forEach((scale, band) => {
    for (let i = band * area; i < (band + 1) * area; i++) {
      const folded = planes[i] | planes[size + i] << 8;
      flux[i] = Number(scale) * Math.sinh((folded >> 1 ^ -(folded & 1)) / STEPS);
    }
  });
  return {n: Math.sqrt(area), flux};
}

function stampOf(kind, index) {
  const key = kind + index;
  let found = kept.get(key);
  if (found) { kept.delete(key); } else { found = inflate(packed[kind][index]); }
  kept.set(key, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return found;
}

function ringsOf(n) {
  if (!rings.has(n)) {
    const all = [];
    for (let p = 0; p < n * n; p++) {
      const r = Math.round(Math.hypot(p % n - (n >> 1), Math.floor(p / n) - (n >> 1)));
      (all[r] ??= []).push(p);
    }
    rings.set(n, all.filter(Boolean));
  }
  return rings.get(n);
}

function minusRings({n, flux}) {
  const left = new Float32Array(flux.length);
  for (let band = 0; band < 3; band++) {
    for (const ring of ringsOf(n)) {
      const values = Float32Array.from(ring, p => flux[band * n * n + p]).sort(), m = values.length;
      const median = m % 2 ? values[m >> 1] : (values[m / 2 - 1] + values[m / 2]) / 2;
      for (const p of ring) left[band * n * n + p] = flux[band * n * n + p] - median;
    }
  }
  return left;
}

function level(light, stretch, range) {
  if (!(light > 0)) return 0;
  if (stretch === 'asinh') return 25.5 / Math.asinh(0.1 * Q) * Math.asinh(Q * light / range);
  const share = light / (WHITE[stretch] * range);
  return 255 * (stretch === 'sqrt' ? Math.sqrt(share) : share);
}

// Lupton et al. (2004) colours, as dhs.picture draws them; a residual is drawn about grey.
function paint(canvas, stamp, view) {
  const {n} = stamp, area = n * n, range = LINEAR * 2 ** (-view.contrast / 2);
  const from = view.residual ? (stamp.left ??= minusRings(stamp)) : stamp.flux;
  const shown = view.layer === 'colour' ? ['z', 'r', 'g'] : [view.layer, view.layer, view.layer];
  const offsets = shown.map(band => BANDS.indexOf(band) * area), weights = shown.map(band => WEIGHT[band]);
  const image = new ImageData(n, n), rgb = [0, 0, 0];
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) rgb[c] = weights[c] * from[offsets[c] + p];
    if (view.residual) {
      for (let c = 0; c < 3; c++) rgb[c] = 90 + 55 * Math.asinh(4 * rgb[c] / range);
    } else {
      const light = (rgb[0] + rgb[1] + rgb[2]) / 3, scale = light > 0 ? level(light, view.stretch, range) / light : 0;
      for (let c = 0; c < 3; c++) rgb[c] = Math.max(0, rgb[c] * scale);
      const most = Math.max(...rgb);
      if (most > 255) for (let c = 0; c < 3; c++) rgb[c] *= 255 / most;
    }
    const at = 4 * ((n - 1 - Math.floor(p / n)) * n + p % n);  // north up
    image.data.set([rgb[0], rgb[1], rgb[2], 255], at);
  }
  canvas.width = canvas.height = n;
  canvas.getContext('2d').putImageData(image, 0, 0);
  canvas.dataset.drawn = `${view.residual ? 'residual ' : ''}${view.layer}`;
}

let running = false;
function work() {
  const end = performance.now() + SLICE_MS;
  while (jobs.length && performance.now() < end) jobs.shift()();
  running = jobs.length > 0;
  if (running) requestAnimationFrame(work);
}

async function picture(canvas, kind, index, view, first = false) {
  const token = canvas.token = {};
  const stamp = await stampOf(kind, index);
  const job = () => { if (canvas.token === token) paint(canvas, stamp, view); };
  if (first) { job(); return; }
  jobs.push(job);
  if (!running) { running = true; requestAnimationFrame(work); }
}
