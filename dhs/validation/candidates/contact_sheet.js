const rows = JSON.parse(document.getElementById('rows').textContent);
const grades = JSON.parse(document.getElementById('grades').textContent);
const key = 'dhs-grades-' + rows.map(r => r.id).join('|').length + '-' + rows[0].id;
const cards = [...document.querySelectorAll('figure')];
let given = {}, unsaved = false;
try { given = JSON.parse(localStorage.getItem(key) || '{}'); } catch (e) { given = {}; }
// A browser may keep nothing for a page opened from a file: the address holds the grades as well.
const marked = /^#grades=([-0-9]*)$/.exec(globalThis.location?.hash || '');
if (marked && marked[1].length === rows.length) {
  given = {};
  rows.forEach((r, i) => { if (marked[1][i] in grades) given[r.id] = Number(marked[1][i]); });
}
function show(i) {
  const g = given[rows[i].id], card = cards[i];
  if (g === undefined) { delete card.dataset.grade; } else { card.dataset.grade = g; }
  card.querySelector('.grade').textContent = g === undefined ? 'not graded' : g + ': ' + grades[g];
  document.getElementById('count').textContent = Object.keys(given).length + ' of ' + rows.length + ' graded';
}
function set(i, g) {
  if (g === undefined) { delete given[rows[i].id]; } else { given[rows[i].id] = g; }
  unsaved = true;
  try { localStorage.setItem(key, JSON.stringify(given)); } catch (e) { /* kept in this page and its address */ }
  globalThis.history?.replaceState(null, '', '#grades=' + rows.map(r => given[r.id] ?? '-').join(''));
  show(i);
}
function focus(i) {
  cards.forEach(c => c.classList.remove('zoom'));
  const card = cards[Math.max(0, Math.min(cards.length - 1, i))];
  card.focus(); card.scrollIntoView({block: 'center'});
}
function quote(v) {
  v = String(v === null ? '' : v);
  return /[",\n\r]/.test(v) ? '"' + v.replace(/"/g, '""') + '"' : v;
}
function table() {
  const names = Object.keys(rows[0]);
  const grade = r => given[r.id] === undefined ? '' : given[r.id];
  const lines = rows.map(r => names.map(n => quote(r[n])).concat(grade(r)).join(','));
  return names.map(quote).concat('grade').join(',') + '\n' + lines.join('\n') + '\n';
}
function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([table()], {type: 'text/csv'}));
  link.download = 'grades.csv'; link.click(); URL.revokeObjectURL(link.href);
  unsaved = false;
}
globalThis.addEventListener?.('beforeunload', event => { if (unsaved) event.preventDefault(); });
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const i = cards.indexOf(document.activeElement);
  if (event.key === 's') { save(); return; }
  if (i < 0) { if (event.key === 'ArrowRight') focus(0); return; }
  if (event.key in grades) { set(i, Number(event.key)); if (i + 1 < cards.length) focus(i + 1); }
  else if (event.key === 'Backspace' || event.key === 'Delete') set(i, undefined);
  else if (event.key === 'ArrowRight') focus(i + 1);
  else if (event.key === 'ArrowLeft') focus(i - 1);
  else if (event.key === 'z') cards[i].classList.toggle('zoom');
  else return;
  event.preventDefault();
});
document.getElementById('save').addEventListener('click', save);
rows.forEach((_, i) => show(i));
if (cards.length) cards[0].focus();
