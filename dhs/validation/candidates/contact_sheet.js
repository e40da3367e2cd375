const read = id => JSON.parse(document.getElementById(id).textContent), $$ = id => document.getElementById(id);
const about = read('about'), rows = read('rows'), lenses = read('lenses');
const GRADES = about.grades;  // [letter, word] of 0, 1, 2, 3
const VIEWER = 'https://www.legacysurvey.org/viewer';
const GAP = 12, WIDE = 190, CAPTION = 96, STARTS = /^[=+\-@\t\r]/, NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const store = 'dhs-grades-' + about.sheet;
let given = new Map(), past = [], unsaved = false, places = rows.map((_, i) => i), current = 0, cards = new Map();
let columns = 1, wide = WIDE, view = {layer: 'colour', stretch: 'asinh', contrast: 0, residual: false};
const FILTERS = {
  'all': () => true, 'ungraded': i => grade(i) === undefined, 'graded': i => grade(i) !== undefined,
  'A': i => grade(i) === 3, 'B or better': i => grade(i) >= 2, 'C or better': i => grade(i) >= 1,
  'known lenses': i => Boolean(rows[i].known_lens), 'no known lens': i => !rows[i].known_lens,
  'with a note': i => Boolean(given.get(rows[i].id)?.note)};
const KEYS = [
  ['3 2 1 0', 'or'], ['A B C X', GRADES.map(g => g[1]).reverse().join(', ') + '; the next one follows'],
  ['Backspace', 'takes a grade back'], ['u', 'undoes'], ['arrows, Home, End', 'move'], ['n', 'next ungraded'],
  ['z', 'one at a time'], ['k', 'beside the most similar known lens'], ['v', 'viewer'], ['l', 'colour, g, r, z'],
  ['m', 'minus the median of rings'], ['w', 'stretch'], ['+ -', 'contrast'], ['o', 'as at first'], ['t', 'note'],
  ['/', 'search'], ['s', 'saves'], ['?', 'these keys']];

const grade = i => given.get(rows[i].id)?.grade;
const told = g => g === undefined ? 'not graded' : `${GRADES[g][0]} (${g}): ${GRADES[g][1]}`;
const say = text => { $$('said').textContent = text; };
const make = (tag, text, parent) => {
  const e = document.createElement(tag); e.textContent = text ?? ''; parent?.append(e); return e;
};
const short = v => typeof v === 'number' && !Number.isInteger(v) ? String(+v.toPrecision(6)) : String(v ?? '');
const placed = r => Number.isFinite(r.ra) && Number.isFinite(r.dec);

// What is graded, and where it is kept: this browser, the page's address, a CSV.
function remember() {
  try { localStorage.setItem(store, JSON.stringify([...given])); } catch (e) { /* kept in this page and its address */ }
  const marks = rows.map((_, i) => grade(i) ?? '-').join('');
  try { history.replaceState(null, '', '#grades=' + marks); } catch (e) { /* asked too often: the next one says it all */ }
}
function recall() {
  try { given = new Map(JSON.parse(localStorage.getItem(store) || '[]')); } catch (e) { given = new Map(); }
  const marked = /^#grades=([-0-3]*)$/.exec(location.hash);
  if (!marked || marked[1].length !== rows.length) return;
  rows.forEach((r, i) => {  // the address is newer than a store that may keep nothing
    const mark = marked[1][i];
    if (mark === '-') { if (given.has(r.id)) given.get(r.id).grade = undefined; }
    else if (grade(i) !== Number(mark)) given.set(r.id, {...given.get(r.id), grade: Number(mark)});
  });
}
let waiting = 0;
function changed(i) {
  unsaved = true;
  clearTimeout(waiting);
  waiting = setTimeout(remember, 150);
  if (cards.has(i)) fill(i);
  if (!$$('closer').hidden && i === places[current]) $$('closer-grade').textContent = told(grade(i));
  progress();
}
function set(i, g, note) {
  const id = rows[i].id, before = given.get(id);
  past.push([i, before]);
  const by = $$('grader').value.trim();
  given.set(id, {note: before?.note, ...(note === undefined ? {grade: g} : {grade: before?.grade, note}), by,
    at: new Date().toISOString()});
  changed(i);
}
function undo() {
  const last = past.pop();
  if (!last) { say('Nothing to undo.'); return; }
  const [i, before] = last;
  if (before === undefined) { given.delete(rows[i].id); } else { given.set(rows[i].id, before); }
  changed(i);
  if (places.includes(i)) go(places.indexOf(i));
  say(`Undone: ${rows[i].id} is ${told(grade(i))}.`);
}
function progress() {
  const counts = [0, 0, 0, 0];
  rows.forEach((_, i) => { if (grade(i) !== undefined) counts[grade(i)]++; });
  const n = counts.reduce((a, b) => a + b, 0), each = GRADES.map((g, k) => `${g[0]} ${counts[k]}`).reverse().join(', ');
  $$('count').textContent = `${n} of ${rows.length} graded` + (n ? ` (${each})` : '');
  $$('bar').max = rows.length || 1; $$('bar').value = n;
}

// CSV: text that a spreadsheet would take for a formula gets an apostrophe, which is taken off when read.
function quote(v) {
  v = String(v ?? '');
  if (STARTS.test(v) && !NUMBER.test(v) || /^'/.test(v)) v = "'" + v;
  return /[",\n\r]/.test(v) ? '"' + v.replace(/"/g, '""') + '"' : v;
}
function table() {
  const names = Object.keys(rows[0]).filter(n => n !== 'nearest'), extra = ['sheet', 'grade', 'letter', 'grader', 'graded_at', 'note'];
  const out = rows.map((r, i) => {
    const g = given.get(r.id), none = g?.grade === undefined;
    const end = [about.sheet, none ? '' : g.grade, none ? '' : GRADES[g.grade][0], none ? '' : g.by, none ? '' : g.at, g?.note];
    return [...names.map(n => r[n]), ...end].map(quote).join(',');
  });
  return [...names, ...extra].map(quote).join(',') + '\n' + out.join('\n') + '\n';
}
function save() {
  const link = document.createElement('a'), by = $$('grader').value.trim().replace(/[^\w-]+/g, '_');
  link.href = URL.createObjectURL(new Blob([table()], {type: 'text/csv'}));
  link.download = by ? `grades-${by}.csv` : 'grades.csv'; link.click(); URL.revokeObjectURL(link.href);
  unsaved = false;
  say(`Saved ${link.download}.`);
}
function parse(text) {
  const out = [[]], cell = /"((?:[^"]|"")*)"|([^",\r\n]*)/y;
  let at = 0;
  while (at < text.length) {
    cell.lastIndex = at;
    const got = cell.exec(text);
    at = cell.lastIndex;
    out.at(-1).push((got[1] === undefined ? got[2] : got[1].replace(/""/g, '"')).replace(/^'(?=[=+\-@\t\r'])/, ''));
    if (text[at] === ',') { at++; if (at === text.length) out.at(-1).push(''); continue; }
    const end = /\r?\n|\r/y; end.lastIndex = at;
    if (end.test(text)) { at = end.lastIndex; if (at < text.length) out.push([]); }
    else if (at < text.length) throw new Error(`line ${out.length}: a quote stands inside a field`);
  }
  return out;
}
function load(text) {
  const [head, ...body] = parse(text.replace(/^\uFEFF/, ''));
  const [id, g, note, by, at] = ['id', 'grade', 'note', 'grader', 'graded_at'].map(n => head.indexOf(n));
  if (id < 0 || g < 0) throw new Error('it has no columns id and grade. Give a CSV that this sheet saved');
  const known = new Map(rows.map((r, i) => [r.id, i]));
  let taken = 0, strange = 0;
  body.forEach((cells, k) => {
    if (!cells[g] && !cells[note]) return;
    if (!/^[0-3]?$/.test(cells[g])) throw new Error(`line ${k + 2}: grade ${cells[g]} is none of 0 to 3`);
    if (!known.has(cells[id])) { strange++; return; }
    given.set(cells[id], {grade: cells[g] ? Number(cells[g]) : undefined, note: cells[note], by: cells[by], at: cells[at]});
    taken++;
  });
  past = []; remember(); arrange();
  say(`${taken} grades taken over` + (strange ? `; ${strange} are of candidates that are not here.` : '.'));
}

// The list: only the cards in sight exist.
function arrange(keep = places[current]) {
  const words = $$('search').value.trim().toLowerCase(), by = $$('sort').value, sign = $$('down').checked ? -1 : 1;
  const text = r => Object.values(r).filter(v => typeof v === 'string').join(' ').toLowerCase();
  places = rows.map((_, i) => i).filter(FILTERS[$$('filter').value]);
  if (words) places = places.filter(i => `${text(rows[i])} ${(given.get(rows[i].id)?.note ?? '').toLowerCase()}`.includes(words));
  const value = i => by === 'grade' ? grade(i) : by ? rows[i][by] : i;
  places.sort((a, b) => {
    const [x, y] = [value(a) ?? null, value(b) ?? null];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
  });
  for (const card of cards.values()) card.remove();
  cards.clear();
  current = Math.max(0, places.indexOf(keep));
  say(places.length === rows.length ? '' : `${places.length} of ${rows.length} shown`);
  lay(); go(current, false);
}
function lay() {
  const width = $$('list').clientWidth;
  columns = Math.max(1, Math.floor((width + GAP) / (WIDE + GAP)));
  wide = Math.floor((width - GAP * (columns - 1)) / columns);
  $$('list').style.height = Math.ceil(places.length / columns) * (wide + CAPTION + GAP) + 'px';
  for (const [i, card] of cards) put(card, places.indexOf(i));
  see();
}
function put(card, place) {
  const tall = wide + CAPTION;
  Object.assign(card.style, {left: place % columns * (wide + GAP) + 'px', width: wide + 'px', height: tall + 'px',
    top: Math.floor(place / columns) * (tall + GAP) + 'px'});
}
function see() {
  const step = wide + CAPTION + GAP, top = scrollY - $$('list').offsetTop;
  const first = Math.max(0, Math.floor(top / step) - 1) * columns;
  const last = Math.min(places.length, (Math.ceil((top + innerHeight) / step) + 1) * columns);
  const wanted = new Set(places.slice(first, last));
  if (places.length) wanted.add(places[current]);
  for (const [i, card] of cards) if (!wanted.has(i)) { card.remove(); cards.delete(i); }
  for (let place = first; place < last; place++) if (!cards.has(places[place])) add(place);
  if (places.length && !cards.has(places[current])) add(current);
}
function add(place) {
  const i = places[place], card = make('article', '', $$('list')), r = rows[i];
  card.tabIndex = -1;
  card.setAttribute('aria-posinset', place + 1); card.setAttribute('aria-setsize', places.length);
  card.setAttribute('aria-label', r.id);
  const canvas = make('canvas', '', card), caption = make('div', '', card);
  canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', `picture of ${r.id}`);
  caption.className = 'caption';
  const title = make('div', '', caption);
  make('b', `${r.rank ?? i + 1}. ${r.id}`, title); title.title = r.id;
  if (Number.isFinite(r.logit)) make('div', chance(r), caption);
  const links = make('div', '', caption);
  if (placed(r)) {
    const link = make('a', 'viewer', links);
    Object.assign(link, {href: address(r), target: '_blank', rel: 'noopener noreferrer', tabIndex: -1});
    make('span', ` ${r.ra.toFixed(5)} ${r.dec >= 0 ? '+' : ''}${r.dec.toFixed(5)}`, links);
  }
  const more = [r.known_lens ? `known: ${r.known_lens}` : '', r.flags].filter(Boolean).join('; ');
  if (more) make('div', more, caption).title = more;
  make('div', '', caption).className = 'grade';
  card.addEventListener('click', e => { if (e.target.tagName !== 'A') go(places.indexOf(i)); });
  card.addEventListener('dblclick', () => closer(true));
  cards.set(i, card); put(card, place); fill(i); picture(canvas, 'stamps', i, view);
  if (place === current) card.setAttribute('aria-current', 'true');
}
function chance(r) {
  if (!Number.isFinite(r.probability)) return `logit ${r.logit.toFixed(2)}`;
  const times = about.prevalence ? ` (${+(r.probability / about.prevalence).toPrecision(2)} x prevalence)` : '';
  return `logit ${r.logit.toFixed(2)}, p ${+r.probability.toPrecision(3)}${times}`;
}
function fill(i) {
  const card = cards.get(i), g = grade(i);
  if (g === undefined) { delete card.dataset.grade; } else { card.dataset.grade = g; }
  card.querySelector('.grade').textContent = told(g) + (given.get(rows[i].id)?.note ? ', with a note' : '');
}
function address(r) {
  const at = `${r.ra.toFixed(6)}`, up = `${r.dec.toFixed(6)}`;
  return `${VIEWER}?ra=${at}&dec=${up}&layer=ls-dr10&zoom=16&mark=${at},${up}`;
}
function go(place, focus = true) {
  if (!places.length) { $$('closer').hidden = true; return; }
  cards.get(places[current])?.removeAttribute('aria-current');
  current = Math.max(0, Math.min(places.length - 1, place));
  const step = wide + CAPTION + GAP, y = $$('list').offsetTop + Math.floor(current / columns) * step;
  const head = document.querySelector('header').offsetHeight;
  if (y < scrollY + head || y + step > scrollY + innerHeight) scrollTo(0, y - head - Math.max(0, (innerHeight - head - step) / 2));
  see();
  const card = cards.get(places[current]);
  card.setAttribute('aria-current', 'true');
  if (focus) card.focus({preventScroll: true});
  if (!$$('closer').hidden) inspect();
}
function next() {
  const n = places.length;
  for (let k = 1; k <= n; k++) if (grade(places[(current + k) % n]) === undefined) return (current + k) % n;
  say('Every candidate shown here is graded.');
  return current;
}

// One candidate at a time, its bands, what the rings leave, and a known lens that looks like it.
const SMALL = [...BANDS.map(layer => [layer, {layer, residual: false}]), ['minus rings', {layer: 'colour', residual: true}]];
function inspect() {
  const i = places[current], r = rows[i], near = lenses[r.nearest];
  picture($$('big'), 'stamps', i, view, true);
  $$('big-name').textContent = `${r.id}, ${view.residual ? 'minus the median of rings, ' : ''}${view.layer}`;
  [...$$('small').querySelectorAll('canvas')].forEach((c, k) => picture(c, 'stamps', i, {...view, ...SMALL[k][1]}));
  $$('known').hidden = !near || !comparing;
  if (near && comparing) {
    picture($$('known-picture'), 'lenses', r.nearest, view);
    $$('known-name').textContent = `the most similar known lens: ${near}`;
  }
  $$('facts').replaceChildren();
  for (const [name, v] of Object.entries(r)) {
    if (v !== null && v !== '' && name !== 'nearest') { make('dt', name, $$('facts')); make('dd', short(v), $$('facts')); }
  }
  $$('closer-grade').textContent = told(grade(i));
  $$('viewer').hidden = !placed(r);
  if (placed(r)) $$('viewer').href = address(r);
  $$('note').value = given.get(r.id)?.note ?? '';
}
let comparing = true;
function closer(open) {
  $$('closer').hidden = !open;
  $$('closer').style.top = document.querySelector('header').offsetHeight + 'px';
  if (open) inspect();
  cards.get(places[current])?.focus({preventScroll: true});
}
function look(change) {
  view = {...view, ...change};
  for (const name of ['layer', 'stretch', 'contrast']) $$(name).value = view[name];
  $$('residual').checked = view.residual;
  jobs.length = 0;
  const now = places[current], all = [...cards].sort(([a], [b]) => (b === now) - (a === now));
  for (const [i, card] of all) picture(card.querySelector('canvas'), 'stamps', i, view, i === now);
  if (!$$('closer').hidden) inspect();
}
const after = (list, value) => list[(list.indexOf(value) + 1) % list.length];
const LAYERS = ['colour', ...BANDS], STRETCHES = ['asinh', 'sqrt', 'linear'];
const more = by => look({contrast: Math.max(-6, Math.min(6, view.contrast + by))});

const DO = {
  ArrowRight: () => go(current + 1), ArrowLeft: () => go(current - 1),
  ArrowDown: () => go(current + columns), ArrowUp: () => go(current - columns), Home: () => go(0), End: () => go(places.length - 1),
  PageDown: () => go(current + 3 * columns), PageUp: () => go(current - 3 * columns), n: () => go(next()),
  Backspace: () => { if (places.length) set(places[current]); }, Delete: () => DO.Backspace(), u: undo, s: save,
  z: () => closer($$('closer').hidden), Escape: () => closer(false),
  k: () => { comparing = $$('closer').hidden || !comparing; closer(true); if (!lenses.length) say('No known lens came with this sheet.'); },
  l: () => look({layer: after(LAYERS, view.layer)}), w: () => look({stretch: after(STRETCHES, view.stretch)}),
  m: () => look({residual: !view.residual}), '+': () => more(1), '=': () => more(1), '-': () => more(-1),
  o: () => look({layer: 'colour', stretch: 'asinh', contrast: 0, residual: false}),
  t: () => { closer(true); $$('note').focus(); }, '/': () => $$('search').focus(), '?': () => { $$('help').open = !$$('help').open; },
  v: () => { const r = rows[places[current]]; if (r && placed(r)) window.open(address(r), '_blank', 'noopener'); }};
GRADES.forEach(([letter], g) => {
  const give = () => { if (places.length) { set(places[current], g); go(current + 1); } };
  DO[g] = give; DO[letter.toLowerCase()] = give;
});
document.addEventListener('keydown', event => {
  const field = event.target.closest('input, select, textarea');
  if (field) {
    if (event.key === 'Escape' || event.key === 'Enter' && field.id === 'search') { field.blur(); go(current); event.preventDefault(); }
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === 'z') { undo(); event.preventDefault(); }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = DO[event.key] ?? DO[event.key.toLowerCase()];
  if (!act || event.target.closest('button, summary, a') && event.key.length > 1) return;
  act(); event.preventDefault();
});
addEventListener('beforeunload', event => { remember(); if (unsaved) event.preventDefault(); });
addEventListener('scroll', () => requestAnimationFrame(see));
addEventListener('resize', () => { lay(); go(current, false); });
for (const id of ['filter', 'sort', 'down']) $$(id).addEventListener('change', () => arrange());
$$('search').addEventListener('input', () => arrange());
for (const id of ['layer', 'stretch']) $$(id).addEventListener('change', () => look({[id]: $$(id).value}));
$$('contrast').addEventListener('input', () => look({contrast: Number($$('contrast').value)}));
$$('residual').addEventListener('change', () => look({residual: $$('residual').checked}));
$$('note').addEventListener('change', () => set(places[current], undefined, $$('note').value));
$$('grader').addEventListener('change', () => { try { localStorage.setItem('dhs-grader', $$('grader').value); } catch (e) { /* asked again */ } });
$$('undo').addEventListener('click', undo);
$$('save').addEventListener('click', save);
$$('load').addEventListener('change', async () => {
  const file = $$('load').files[0];
  try { load(await file.text()); } catch (e) { say(`${file.name}: ${e.message}.`); }
  $$('load').value = '';
});

if (rows.length) {
  const options = (id, names, texts = names) => names.forEach((name, k) => { make('option', texts[k], $$(id)).value = name; });
  options('filter', Object.keys(FILTERS)); options('layer', LAYERS); options('stretch', STRETCHES);
  const sortable = Object.keys(rows[0]).filter(n => !['nearest', 'rank'].includes(n));
  options('sort', ['', 'grade', ...sortable], ['as listed', 'grade', ...sortable]);
  for (const [keys, text] of KEYS) { make('kbd', keys, $$('keys')); make('span', ` ${text} `, $$('keys')); }
  for (const [name] of SMALL) { const f = make('figure', '', $$('small')); make('canvas', '', f); make('figcaption', name, f); }
  try { $$('grader').value = localStorage.getItem('dhs-grader') ?? ''; } catch (e) { /* asked again */ }
  recall(); progress(); arrange();
} else {
  $$('list').textContent = 'No candidate.';
}
