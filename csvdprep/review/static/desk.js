/* The page of the reviewing desk. All texts are set as text, never as markup. */
'use strict';
(() => {
  const $ = (id) => document.getElementById(id);
  const ROW = 48;
  const HELP = [
    ['j, k', 'next and previous candidate'],
    ['n, p', 'next and previous visit'],
    ['a', 'accept the candidate'],
    ['r', 'reject it; of hyperintensities: take it out of the mask'],
    ['c', 'choose what it is'],
    ['i', 'add a lesion at the crosshair'],
    ['b', 'edit the mask with a brush; e erases, s saves, Esc leaves'],
    ['[ and ]', 'smaller and larger brush'],
    ['z', 'undo the last stroke of the brush'],
    ['x', 'take the lesion at the crosshair out of the mask'],
    ['u', 'undo the last rating'],
    ['o', 'overlays on and off'],
    ['+, -, 0', 'closer, farther, whole slices'],
    ['1, 2, 3', 'lesions, grades, overlays'],
    ['?', 'this list'],
  ];

  const el = (tag, props = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name in made && name !== 'list') made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  /* ---- where data come from, and go to ---- */
  class Server {
    constructor() { this.writes = true; }
    async json(path, options) {
      const answer = await fetch(path, options);
      const found = await answer.json().catch(() => ({ error: answer.statusText }));
      if (!answer.ok) throw new Error(found.error || answer.statusText);
      return found;
    }
    about() { return this.json('api/about'); }
    visits() { return this.json('api/visits?' + new URLSearchParams({ rater: S.rater })); }
    visit(visit) { return this.json('api/visit?' + new URLSearchParams({ visit, rater: S.rater })); }
    mni(visit, at) { return this.json('api/mni?' + new URLSearchParams({ visit, at: at.join(',') })); }
    agreement() { return this.json('api/agreement?' + new URLSearchParams({ rater: S.rater })); }
    rate(row) {
      return this.json('api/rate', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Csvdprep-Review': '1' },
        body: JSON.stringify({ rater: S.rater, ...row }),
      });
    }
    async mask(visit, key, data) {
      const packed = new Blob([data]).stream().pipeThrough(new CompressionStream('gzip'));
      const body = await new Response(packed).arrayBuffer();
      return this.json('api/mask?' + new URLSearchParams({ visit, key, rater: S.rater }), {
        method: 'POST', headers: { 'X-Csvdprep-Review': '1' }, body,
      });
    }
    async volume(visit, key, { step = 1, edited = false } = {}) {
      const asked = { visit, key, step, rater: S.rater };
      if (edited) asked.edited = '1';
      const answer = await fetch('api/volume.nii?' + new URLSearchParams(asked));
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || answer.statusText);
      return answer.arrayBuffer();
    }
  }

  /* A folder that was exported: it cannot save, but a table can be taken away. */
  class Folder {
    constructor(given) { this.given = given; this.writes = false; }
    async about() { return this.given.about; }
    async visits() { return { visits: this.given.visits }; }
    async visit(label) { return { ...(await this.part(label)).visit, said: [...S.local.values()].filter((r) => r.visit === label) }; }
    async mni() { return { mni: null }; }
    async agreement() { throw new Error('The folder that was exported has no ratings.'); }
    async mask() { throw new Error('Masks are edited with csvdprep review alone.'); }
    async rate(row) {
      const key = [row.visit, row.marker, row.candidate || ''].join('\t');
      const before = S.local.get(key) || null;
      const kept = { rater: S.rater, candidate: '', comment: '', ...row, time: new Date().toISOString() };
      if (row.value === null) S.local.delete(key); else S.local.set(key, kept);
      return { row: kept, before };
    }
    part(label) {
      const known = (window.CSVDPREP_VISITS = window.CSVDPREP_VISITS || {});
      if (known[label]) return Promise.resolve(known[label]);
      return new Promise((done, fail) => {
        const script = el('script', { src: `visits/${label}.js` });
        script.onload = () => done(known[label]);
        script.onerror = () => fail(new Error('The file of this visit is missing.'));
        document.head.append(script);
      });
    }
    async volume(label, key) {
      const text = (await this.part(label)).volumes[key];
      if (!text) throw new Error('This image was not exported.');
      const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
      return new Response(stream).arrayBuffer();
    }
  }

  const S = {
    about: null, rater: '', visits: [], shown: [], label: '', data: null, list: null, at: -1, mm: null,
    images: new Map(), on: new Map(), back: '', undo: [], out: new Set(), brush: null, zoom: 1, turn: 0, local: new Map(), visible: true,
  };
  const backend = window.CSVDPREP_EXPORT ? new Folder(window.CSVDPREP_EXPORT) : new Server();

  const say = (text, bad = false) => {
    $('saved').textContent = text;
    $('saved').classList.toggle('bad', bad);
  };
  const guard = (work) => async (...args) => {
    try { return await work(...args); } catch (error) { say(error.message, true); $('wait').textContent = ''; return undefined; }
  };

  /* ---- geometry ---- */
  const apply = (m, p) => [0, 1, 2].map((r) => m[r][0] * p[0] + m[r][1] * p[1] + m[r][2] * p[2] + m[r][3]);
  const invert = (m) => {
    const [a, b, c] = [0, 1, 2].map((r) => m[r].slice(0, 3));
    const cross = (x, y) => [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    const cols = [cross(b, c), cross(c, a), cross(a, b)];
    const det = a[0] * cols[0][0] + a[1] * cols[0][1] + a[2] * cols[0][2];
    const r = [0, 1, 2].map((i) => cols.map((col) => col[i] / det));
    const t = [0, 1, 2].map((i) => -(r[i][0] * m[0][3] + r[i][1] * m[1][3] + r[i][2] * m[2][3]));
    return [0, 1, 2].map((i) => [...r[i], t[i]]);
  };
  const layerOf = (key) => S.data.layers.find((item) => item.key === key);
  /* The grid of a list is that of the mask with its label, else of the reference. */
  const gridOf = (list) => {
    const frame = list.frame || null;
    return S.data.layers.find((item) => item.kind === 'image' && item.frame === frame) ||
      S.data.layers.find((item) => item.kind === 'image' && item.toHub.every((row, i) => row.every((v, j) => v === Number(i === j)))) ||
      S.data.layers.find((item) => item.kind === 'image');
  };

  /* ---- images ---- */
  const nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.35, 0.7, 1, 0.8], crosshairWidth: 0.35, crosshairGap: 8, loadingText: '',
    dragAndDropEnabled: false, show3Dcrosshair: false, isColorbar: false, multiplanarShowRender: 0,
    isRadiologicalConvention: true, isOrientationTextVisible: true, logLevel: 'error',
    viewModeHotKey: '', clipPlaneHotKey: '', cycleClipPlaneHotKey: '', isAlphaClipDark: true,
  });

  /* Shaders are compiled while the first image is on its way. */
  let attached = null;
  const ready = () => {
    attached = attached || nv.attachToCanvas($('canvas')).then(() => {
      withoutSlopes(nv.gl, [nv.blurShader, nv.gradientPrePassShader, nv.sobelFirstOrderShader, nv.sobelSecondOrderShader]);
      nv.setSliceType(nv.sliceTypeMultiplanar);
    });
    return attached;
  };
  /* The viewer computes the slopes of each image that it shows, which only rendering in three dimensions needs:
     without a graphics card that takes seconds for an image of 1 mm. */
  const withoutSlopes = (gl, shaders) => {
    const left = new Set(shaders.filter(Boolean).map((shader) => shader.program));
    const { useProgram, drawArrays, checkFramebufferStatus } = gl;
    let unused = false;
    gl.useProgram = (program) => { unused = left.has(program); useProgram.call(gl, program); };
    gl.drawArrays = (...given) => { if (!unused) drawArrays.apply(gl, given); };
    gl.checkFramebufferStatus = (target) => (unused ? gl.FRAMEBUFFER_COMPLETE : checkFramebufferStatus.call(gl, target));
  };
  const load = async (layer, options = {}) => {
    const data = await backend.volume(S.label, layer.key, options);
    const image = await niivue.NVImage.loadFromUrl({ url: data, name: `${layer.key}.nii`, colormap: 'gray' });
    return image;
  };
  const dye = (layer, image) => {
    if (layer.kind === 'mask') {
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(layer.colour.slice(at, at + 2), 16));
      const name = `mask${layer.colour.slice(1)}`;
      nv.addColormap(name, { R: [0, r, r], G: [0, g, g], B: [0, b, b], A: [0, 160, 255], I: [0, 128, 255], min: 0, max: 0, labels: [] });
      image.colormap = name;
      image.cal_min = 0.5; image.cal_max = 1;
    } else if (layer.kind === 'labels' && layer.table.length) {
      const rows = [{ index: 0, name: '', colour: '#000000' }, ...layer.table.filter((row) => row.index > 0)];
      const part = (at) => rows.map((row) => parseInt(row.colour.slice(at, at + 2), 16));
      image.setColormapLabel({
        R: part(1), G: part(3), B: part(5), A: rows.map((row) => (row.index ? 255 : 0)),
        I: rows.map((row) => row.index), labels: rows.map((row) => row.name),
      });
    } else if (layer.kind !== 'image') {
      image.colormap = layer.map;
      if (layer.map === 'blue2red') image.colormap = 'blue2red';
    }
  };
  const compose = () => {
    const back = S.images.get(S.back);
    if (!back) return;
    const over = S.data.layers.filter((item) => item.key !== S.back && S.on.has(item.key) && S.images.has(item.key));
    nv.volumes = [back, ...over.map((item) => S.images.get(item.key))];
    back.opacity = 1;
    for (const item of over) {
      S.images.get(item.key).opacity = S.visible ? S.on.get(item.key) : 0;
    }
    nv.back = nv.volumes[0];
    nv.overlays = nv.volumes.slice(1);
    nv.overlayOutlineWidth = $('outline').checked ? 0.25 : 0;
    nv.updateGLVolume();
    place();
  };
  const place = () => {
    if (!S.mm || !nv.volumes.length) return;
    // Grids are oblique to each other: without the last argument angles are left out.
    nv.scene.crosshairPos = nv.mm2frac(S.mm, 0, true);
    nv.createOnLocationChange();
    closer(S.zoom);
  };
  /* What is under the crosshair stays where it is on the screen. */
  const closer = (zoom) => {
    S.zoom = Math.min(Math.max(zoom, 1), 8);
    $('zoom').value = String(S.zoom);
    const at = nv.frac2mm(nv.scene.crosshairPos);
    nv.scene.pan2Dxyzmm = [...[0, 1, 2].map((i) => (1 - S.zoom) * at[i]), S.zoom];
    nv.drawScene();
  };
  const go = (mm) => { S.mm = mm; place(); };

  const setBack = async (key, whole = false) => {
    const turn = ++S.turn;
    const layer = layerOf(key);
    if (!layer) return;
    $('image').value = key;
    let image = S.images.get(key);
    const show = () => { S.images.set(key, image); S.back = key; ranges(image); compose(); };
    if (!image || !image.whole) {
      $('wait').textContent = `${layer.title} …`;
      if (!image && layer.preview && !whole && backend.writes) {
        const coming = load(layer, { step: 2 });
        await ready();
        image = await coming;
        if (turn !== S.turn) return;
        show();
        document.body.dataset.shown = performance.now();
      } else if (image) show();
      const coming = load(layer), coarse = image;
      await ready();
      image = await coming;
      if (turn !== S.turn) return;
      // A window that was set meanwhile stays.
      if (coarse) { image.cal_min = coarse.cal_min; image.cal_max = coarse.cal_max; }
      image.whole = true;
    }
    image.colormap = 'gray';
    show();
    $('wait').textContent = '';
    document.body.dataset.shown = document.body.dataset.shown || performance.now();
    document.body.dataset.whole = key;
  };
  const ranges = (image) => {
    const top = image.global_max || image.cal_max || 1;
    S.span = Math.max(image.cal_max * 2, 1e-9);
    if (image.global_max !== undefined) S.span = Math.min(Math.max(S.span, image.cal_max), Math.max(top, image.cal_max));
    $('low').value = Math.round(100 * image.cal_min / S.span);
    $('high').value = Math.round(100 * image.cal_max / S.span);
  };
  const windowed = () => {
    const image = nv.volumes[0];
    if (!image) return;
    const low = Number($('low').value), high = Math.max(Number($('high').value), low + 1);
    image.cal_min = low / 100 * S.span; image.cal_max = high / 100 * S.span;
    // Masks over it stay as they are; sliders move faster than slow machines draw.
    soon('window', () => { if (nv.volumes[0] === image) { nv.refreshLayers(image, 0); nv.drawScene(); } });
  };
  const due = new Map();
  const soon = (name, work) => {
    if (!due.size) requestAnimationFrame(() => { const works = [...due.values()]; due.clear(); for (const next of works) next(); });
    due.set(name, work);
  };
  const turnOn = async (key, opacity) => {
    const layer = layerOf(key);
    if (!layer) return;
    S.on.set(key, opacity);
    if (!S.images.has(key)) {
      const edited = Boolean(layer.mask && said(layer.mask) && backend.writes);
      const label = S.label;
      const image = await load(layer, { edited });
      if (label !== S.label) return;
      dye(layer, image);
      S.images.set(key, image);
    }
    compose();
  };

  const told = (layer, value) => {
    if (!layer || !Number.isFinite(value)) return '';
    if (layer.kind === 'mask') return value > 0 ? layer.title : '';
    if (layer.kind !== 'labels') return `${layer.title} ${Number(value).toPrecision(4)}`;
    const row = layer.table.find((item) => item.index === Math.round(value));
    return value > 0 ? `${layer.title}: ${row ? row.name : value}` : '';
  };
  let asked = 0;
  nv.onLocationChange = (found) => {
    S.mm = Array.from(nv.frac2mm(nv.scene.crosshairPos, 0, true)).slice(0, 3);
    const native = S.list ? apply(invert(S.list.grid.toHub), S.mm) : S.mm;
    const text = (point) => point.map((v) => v.toFixed(1)).join(' ');
    const value = (found.values || []).map((v) => told(layerOf((v.name || '').replace(/\.nii$/, '')), v.value)).filter(Boolean);
    S.where = [`x y z ${text(native)} mm`, 'MNI …', ...value];
    $('where').textContent = S.where.filter(Boolean).join('   ');
    template(++asked, S.label, S.mm, text);
  };
  /* The template can wait: the server needs seconds to get ready for it, which images need more. */
  const template = (turn, label, at, text) => setTimeout(async () => {
    if (turn !== asked) return;
    if (!document.body.dataset.whole) { template(turn, label, at, text); return; }
    const answer = backend.writes ? await backend.mni(label, at).catch(() => ({ mni: null })) : null;
    if (turn !== asked) return;
    S.where[1] = !answer ? '' : answer.mni ? `MNI ${text(answer.mni)} mm` : 'MNI not known';
    $('where').textContent = S.where.filter(Boolean).join('   ');
  }, 400);

  /* ---- visits ---- */
  const STATE = { failed: 'a step failed', lost: 'was killed', interrupted: 'interrupted', running: 'running' };
  const VERDICT = { failed: 'results fail', check: 'please check', ok: 'ok' };
  const words = (item) => {
    const found = [];
    if (item.decision) found.push(item.decision);
    if (STATE[item.state]) found.push(STATE[item.state]);
    if (VERDICT[item.verdict] && !item.decision) found.push(VERDICT[item.verdict]);
    if (item.unsure) found.push(`${item.unsure} unsure`);
    if (item.candidates) found.push(`${item.done}/${item.candidates}`);
    return found.join(' · ');
  };
  const drawVisits = () => {
    const box = $('visits');
    if (!box.firstChild) box.append(el('div', { className: 'all' }));
    const all = box.firstChild;
    all.style.height = `${S.shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
    const last = Math.min(S.shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 4);
    all.replaceChildren(...S.shown.slice(first, last).map((item, at) => {
      const row = el('div', { id: `v-${first + at}`, role: 'option', className: `visit ${item.state} ${item.verdict}` },
        el('b', {}, item.visit), el('small', {}, words(item)));
      row.classList.toggle('decided', Boolean(item.decision));
      row.classList.toggle('open', item.visit === S.label);
      row.setAttribute('aria-selected', String(item.visit === S.label));
      row.setAttribute('aria-setsize', S.shown.length);
      row.setAttribute('aria-posinset', first + at + 1);
      row.style.transform = `translateY(${(first + at) * ROW}px)`;
      row.onclick = () => open(item.visit);
      return row;
    }));
    const at = S.shown.findIndex((item) => item.visit === S.label);
    if (at >= first && at < last) box.setAttribute('aria-activedescendant', `v-${at}`);
  };
  const filterVisits = () => {
    const wanted = $('find').value.trim().toLowerCase();
    S.shown = S.visits.filter((item) => !wanted || `${item.visit} ${words(item)}`.toLowerCase().includes(wanted));
    drawVisits();
  };
  const progress = () => {
    const decided = S.visits.filter((item) => item.decision).length;
    const done = S.visits.reduce((sum, item) => sum + Math.min(item.done, item.candidates), 0);
    const all = S.visits.reduce((sum, item) => sum + item.candidates, 0);
    $('progress').textContent = `${decided} of ${S.visits.length} visits decided, ${done} of ${all} candidates`;
  };
  const step = (by) => {
    const at = S.shown.findIndex((item) => item.visit === S.label) + by;
    if (at < 0 || at >= S.shown.length) return;
    const box = $('visits');
    if (at * ROW < box.scrollTop || (at + 1) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = at * ROW - box.clientHeight / 2;
    open(S.shown[at].visit);
  };

  /* ---- a visit ---- */
  const open = guard(async (label, lesion = '') => {
    if (S.brush && !leaveBrush()) return;
    if (label === S.label && S.data) { if (lesion) pick(lesion); return; }
    S.label = label; S.data = null; S.images.clear(); S.on.clear(); S.list = null; S.at = -1; S.mm = null; S.turn++;
    delete document.body.dataset.shown; delete document.body.dataset.whole;
    drawVisits();
    const data = await backend.visit(label);
    if (label !== S.label) return;
    S.data = data;
    for (const list of data.lists) list.grid = gridOf(list);
    const images = data.layers.filter((item) => item.kind === 'image');
    $('image').replaceChildren(...images.map((item) => el('option', { value: item.key, title: item.description }, item.title)));
    drawLayers(); drawGrades();
    const first = data.lists.find((list) => list.reviewed && list.rows.length) || data.lists.find((list) => list.rows.length) || data.lists[0];
    if (lesion && pick(lesion)) return;
    if (first) { choose(first.name, first.rows.length ? 0 : -1); return; }
    drawLists();
    if (images[0]) await setBack(images[0].key);
  });
  const pick = (lesion) => {
    const cut = lesion.lastIndexOf('-');
    const [name, index] = [lesion.slice(0, cut).toLowerCase(), Number(lesion.slice(cut + 1))];
    const list = S.data.lists.find((item) => [item.name, item.label, item.name.replace('_lesions', '')].some((n) => n.toLowerCase() === name));
    const at = list ? everything(list).findIndex((row) => row.index === index) : -1;
    if (at < 0) return false;
    choose(list.name, at);
    return true;
  };
  const near = (a, b, most) => a && b && Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) <= most;
  const point = (text) => { const found = String(text).split(/[\s,;]+/).map(Number); return found.length === 3 && found.every(Number.isFinite) ? found : null; };
  const mine = (row) => row.rater === S.rater;
  const said = (marker) => S.data.said.filter((row) => mine(row) && row.marker === marker).pop();
  const verdict = (list, row, all = false) => S.data.said.filter((item) => (all ? !mine(item) : mine(item)) && item.marker === list.name &&
    (item.candidate === row.place || item.candidate === String(row.index) || near(point(item.candidate), row.position, 0.05)));
  /* What a rater added follows the list. */
  const everything = (list) => {
    const added = new Map();
    for (const row of S.data.said) {
      if (row.marker === list.name && String(row.value).startsWith('add ') && !added.has(row.candidate)) added.set(row.candidate, row);
    }
    let index = list.rows.reduce((most, row) => Math.max(most, row.index), 0);
    return [...list.rows, ...[...added.values()].map((row) => ({
      index: ++index, where: 'added', place: row.candidate, position: point(row.candidate), mni: null, probability: null, status: '', cells: {}, added: true,
    }))];
  };
  const choose = guard(async (name, at) => {
    const list = S.data.lists.find((item) => item.name === name);
    if (S.brush && !leaveBrush()) return;
    const changed = S.list !== list;
    S.list = list; S.at = at;
    drawLists();
    const row = everything(list)[at];
    history.replaceState(null, '', `#visit=${encodeURIComponent(S.label)}${row ? `&lesion=${encodeURIComponent(`${name}-${row.index}`)}` : ''}`);
    if (row && row.position) S.mm = apply(list.grid.toHub, row.position);
    if (changed && list.grid.key !== S.back || !S.images.has(S.back)) await setBack(list.grid.key);
    else place();
    const mask = S.data.layers.find((item) => item.label === list.label && item.kind === 'mask' && item.mask);
    if (changed && mask && S.label) await turnOn(mask.key, 0.5);
    if (changed) drawLayers();
  });

  const drawLists = () => {
    $('lists').replaceChildren(...S.data.lists.map((list) => el('button', {
      type: 'button', 'aria-pressed': String(list === S.list), onclick: () => choose(list.name, everything(list).length ? 0 : -1),
    }, `${list.title} ${list.total}`)));
    const list = S.list, rows = list ? everything(list) : [];
    const reviewed = Boolean(list && list.reviewed);
    for (const id of ['accept', 'kind']) $(id).disabled = !reviewed || !rows[S.at];
    $('reject').disabled = !rows[S.at] || !(reviewed || (list && removable(list)));
    $('reject').textContent = reviewed || !list ? 'Reject' : 'Take out of mask';
    $('add').disabled = !reviewed;
    $('brush').disabled = !backend.writes || !list || !S.data.layers.some((item) => item.label === list.label && item.mask);
    $('rows').replaceChildren(...rows.map((row, at) => {
      const found = verdict(list, row).pop();
      const others = verdict(list, row, true).map((item) => `${item.rater}: ${item.value}`).join('; ');
      const yes = found && (found.value === 'accept' || String(found.value).startsWith('add ') || list.kinds.some((k) => k.counts && k.name === found.value));
      const sure = row.probability === null ? '' : el('meter', { min: 0, max: 1, value: row.probability, title: `probability ${row.probability.toFixed(2)}` });
      const open = row.status ? `machine: ${row.status}` : 'not looked at';
      return el('li', {}, el('button', {
        type: 'button', 'aria-current': String(at === S.at), onclick: () => choose(list.name, at),
      }, el('span', { className: 'number' }, `#${row.index}`), el('span', {}, row.where || 'not told'), sure,
      ...(reviewed ? [el('span', { className: `said ${found ? (yes ? 'yes' : 'no') : 'open'}` },
        (found ? `${yes ? '✓' : '✗'} ${found.value}${row.status ? ` (machine: ${row.status})` : ''}` : open) + (others ? ` — ${others}` : ''))] : []),
      ...(S.out.has(`${S.label} ${list.name} ${row.index}`) ? [el('span', { className: 'said no' }, '✗ taken out of the mask')] : [])));
    }));
    if (list && !rows.length) $('rows').append(el('li', { className: 'none' }, 'The list is empty.'));
    if (list && list.total > list.rows.length) $('rows').append(el('li', { className: 'none' }, `The first ${list.rows.length} of ${list.total} are shown.`));
    if (!list) $('rows').append(el('li', { className: 'none' }, 'This visit has no list of lesions.'));
    const current = $('rows').querySelector('[aria-current=true]');
    if (current) current.scrollIntoView({ block: 'nearest' });
    $('kind').replaceChildren(el('option', { value: '' }, '…'), ...(list ? list.kinds : []).map((kind) => el('option', { value: kind.name }, kind.title)));
    drawFacts(rows[S.at]);
  };
  const drawFacts = (row) => {
    const parts = [];
    if (row && Object.keys(row.cells).length) {
      const table = el('dl');
      for (const [name, value] of Object.entries(row.cells)) {
        if (name === 'index') continue;
        table.append(el('dt', { title: S.list.columns[name] || '' }, name.replaceAll('_', ' ')), el('dd', {}, value));
      }
      parts.push(table);
    }
    if (S.data.remarks.length) {
      parts.push(el('h2', {}, 'To be minded in this visit'), el('ul', { className: 'remarks' }, ...S.data.remarks.map(([, text]) => el('li', {}, text))));
    }
    if (S.data.report) parts.push(el('p', {}, el('a', { href: `report/${S.label}.html`, target: '_blank', rel: 'noopener' }, 'Report of the visit')));
    $('facts').replaceChildren(...parts);
  };

  /* ---- ratings ---- */
  const keep = guard(async (row, undoing = false) => {
    if (!S.rater) { $('rater').focus(); throw new Error('Tell who rates first: initials or a number.'); }
    say('saving …');
    const label = S.label;
    const answer = await backend.rate({ visit: label, candidate: '', comment: '', ...row });
    kept(label, answer, undoing);
    return answer;
  });
  const kept = (label, answer, undoing) => {
    const { row, before } = answer;
    if (!undoing) S.undo.push({ visit: label, row, before });
    $('undo').disabled = !S.undo.length;
    if (label === S.label && S.data) {
      S.data.said = S.data.said.filter((item) => !(mine(item) && item.marker === row.marker && item.candidate === row.candidate));
      if (row.value !== null) S.data.said.push({ ...row, rater: S.rater });
      const item = S.visits.find((found) => found.visit === label);
      const listed = new Set(S.data.lists.filter((list) => list.reviewed).map((list) => list.name));
      if (item) {
        item.done = S.data.said.filter((found) => mine(found) && listed.has(found.marker)).length;
        item.decision = (said(S.about.decision) || {}).value || '';
      }
      drawLists(); drawGrades(); drawVisits(); progress();
    }
    say(backend.writes ? `saved ${new Date(row.time).toLocaleTimeString()}` : 'kept in this window: take the table away with Save');
  };
  /* Lesions of lists without verdicts are rejected in their mask, which is what counts. */
  const removable = (list) => backend.writes && !S.about.blind && S.data.layers.some((item) => item.label === list.label && item.mask);
  const takeOut = guard(async () => {
    const name = S.list.name, at = S.at, row = everything(S.list)[at];
    if (!row || !row.position || !removable(S.list) || S.brush) return;
    await startBrush();
    if (!S.brush) return;
    go(apply(S.list.grid.toHub, row.position));
    const dropped = dropOne();
    if (dropped) await saveBrush();
    leaveBrush(true);
    if (!dropped) { say('The mask has nothing at the middle of this lesion: edit the mask (b), go into it, press x.', true); return; }
    const out = `${S.label} ${name} ${row.index}`;
    S.out.add(out);
    if (S.undo.length) S.undo[S.undo.length - 1].out = out;
    drawLists();
    if (at + 1 < everything(S.list).length) await choose(name, at + 1);
    say(`#${row.index} was taken out of the mask`);
  });
  const judge = async (value) => {
    if (value === 'reject' && S.list && !S.list.reviewed) { await takeOut(); return; }
    const row = S.list && S.list.reviewed ? everything(S.list)[S.at] : null;
    if (!row) return;
    const before = verdict(S.list, row).pop();
    const candidate = before ? before.candidate : row.place;
    // What was added is taken back, not rejected.
    const wanted = row.added && value === 'reject' ? null : row.added && value === 'accept' ? before.value : value;
    const last = S.at;
    if (await keep({ marker: S.list.name, candidate, value: row.added && wanted && !wanted.startsWith('add ') ? `add ${wanted}` : wanted })) {
      const rows = everything(S.list);
      if (last + 1 < rows.length) choose(S.list.name, last + 1);
    }
  };
  const add = () => {
    if (!S.list || !S.list.reviewed || !S.mm) return;
    const native = apply(invert(S.list.grid.toHub), S.mm).map((v) => v.toFixed(2));
    const name = S.list.name;
    const body = el('div', {}, el('p', {}, `At ${native.join(' ')} mm. What is it?`));
    body.append(...S.list.kinds.filter((kind) => kind.counts).map((kind) => el('button', {
      type: 'button', className: 'primary', onclick: async () => {
        $('dialog').close();
        if (await keep({ marker: name, candidate: native.join(' '), value: `add ${kind.name}` })) choose(name, everything(S.list).length - 1);
      },
    }, kind.title)));
    dialog('Add a lesion', body);
  };
  const undo = guard(async () => {
    const last = S.undo.pop();
    if (!last) return;
    $('undo').disabled = !S.undo.length;
    if (last.visit !== S.label) { await open(last.visit); }
    await keep({
      marker: last.row.marker, candidate: last.row.candidate,
      value: last.before ? last.before.value : null, comment: last.before ? last.before.comment : '',
    }, true);
    forget(last.row.marker);
    if (last.out) { S.out.delete(last.out); drawLists(); }
    say(`undone: ${last.row.marker} ${last.row.candidate}`);
  });
  /* A mask that changed is read anew. */
  const forget = guard(async (marker) => {
    const layer = S.data.layers.find((item) => item.mask === marker);
    if (!layer || !S.on.has(layer.key)) return;
    const opacity = S.on.get(layer.key);
    S.images.delete(layer.key);
    await turnOn(layer.key, opacity);
  });

  const drawGrades = () => {
    const parts = [];
    const now = said(S.about.decision);
    const reason = el('input', { id: 'reason', maxLength: 500, size: 30, value: now ? now.comment : '' });
    const decide = (value) => {
      if (value !== 'accept' && !reason.value.trim()) { say('Write the reason first.', true); reason.focus(); drawDecision(); return; }
      keep({ marker: S.about.decision, value, comment: reason.value });
    };
    const box = el('fieldset', {}, el('legend', {}, 'Use of the visit'));
    const drawDecision = () => {
      box.querySelectorAll('.choices').forEach((item) => item.remove());
      const held = said(S.about.decision);
      box.append(el('div', { className: 'grade choices' }, ...Object.entries(S.about.decisions).map(([value, title]) => el('label', { title },
        el('input', { type: 'radio', name: 'decision', value, checked: Boolean(held && held.value === value), onchange: () => decide(value) }), value))));
    };
    box.append(el('label', { className: 'grade' }, 'Reason ', reason));
    drawDecision();
    reason.onchange = () => { const held = said(S.about.decision); if (held && (held.value === 'accept' || reason.value.trim())) decide(held.value); };
    parts.push(box);
    for (const group of S.about.form) {
      const set = el('fieldset', {}, el('legend', {}, group.title));
      for (const marker of group.markers) {
        const held = said(marker.name);
        const others = S.data.said.filter((row) => !mine(row) && row.marker === marker.name).map((row) => `${row.rater}: ${row.value}`);
        const told = marker.name in S.data.measured ? [`measured: ${S.data.measured[marker.name]}`] : [];
        const line = el('div', { className: 'grade', role: 'group', 'aria-label': marker.title },
          el('span', { className: 'what' }, marker.title, ' ', el('small', {}, [...told, ...others].join('; '))));
        const set1 = (value) => keep({ marker: marker.name, value });
        if (marker.levels.length || (marker.most !== null && marker.most <= 9)) {
          const values = marker.levels.length ? marker.levels : [...Array(marker.most + 1).keys()].map(String);
          line.append(el('label', {}, el('input', { type: 'radio', name: marker.name, checked: !held, onchange: () => set1(null) }), 'not rated'),
            ...values.map((value) => el('label', {}, el('input', {
              type: 'radio', name: marker.name, value, checked: Boolean(held && String(held.value) === value), onchange: () => set1(value),
            }), value)));
        } else {
          line.append(el('input', {
            type: 'number', min: 0, step: 1, value: held ? held.value : '', 'aria-label': marker.title,
            onchange: (event) => set1(event.target.value === '' ? null : event.target.value),
          }));
        }
        set.append(line);
      }
      parts.push(set);
    }
    if (!backend.writes) parts.push(el('p', { className: 'none' }, el('button', { className: 'primary', onclick: takeAway }, 'Save ratings.tsv')));
    const focused = document.activeElement && document.activeElement.name, chosen = document.activeElement && document.activeElement.value;
    $('grades').replaceChildren(...parts);
    const again = focused && [...$('grades').querySelectorAll(`[name="${CSS.escape(focused)}"]`)].find((item) => item.value === chosen);
    if (again) again.focus();
  };
  const takeAway = () => {
    const head = ['participant_id', 'session_id', 'rater', 'marker', 'value', 'candidate', 'comment', 'time', 'version'];
    const clean = (text) => String(text ?? '').replace(/\s+/g, ' ').trim() || 'n/a';
    const lines = [...S.local.values()].map((row) => {
      const [subject, session] = row.visit.split('_');
      return [subject, session, row.rater, row.marker, row.value, row.candidate, row.comment, row.time.replace('Z', '+00:00'), S.about.version].map(clean).join('\t');
    });
    const link = el('a', { download: 'ratings.tsv', href: URL.createObjectURL(new Blob([[head.join('\t'), ...lines].join('\n') + '\n'], { type: 'text/tab-separated-values' })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const drawLayers = () => {
    const kinds = { mask: 'Masks', labels: 'Regions', map: 'Maps', image: 'Other images' };
    const parts = [];
    for (const [kind, title] of Object.entries(kinds)) {
      const found = S.data.layers.filter((item) => item.kind === kind && item.key !== S.back);
      if (!found.length) continue;
      parts.push(el('h2', {}, title));
      for (const layer of found) {
        const name = el('span', {}, layer.kind === 'mask' ? el('span', { className: 'swatch' }) : '', layer.title, layer.kind !== 'image' ? ` (${layer.grid})` : '');
        if (layer.kind === 'mask') name.firstChild.style.background = layer.colour;
        const id = `on-${layer.key}`;
        const slide = el('input', { type: 'range', min: 0, max: 1, step: 0.05, value: S.on.get(layer.key) ?? 0.5, 'aria-label': `opacity of ${layer.title}` });
        const box = el('input', { type: 'checkbox', id, checked: S.on.has(layer.key) });
        const label = el('label', { htmlFor: id, title: layer.description }, name);
        box.onchange = guard(async () => {
          if (box.checked) await turnOn(layer.key, Number(slide.value) || 0.5);
          else { S.on.delete(layer.key); compose(); }
        });
        slide.oninput = () => { if (S.on.has(layer.key)) { S.on.set(layer.key, Number(slide.value)); soon('overlays', compose); } };
        parts.push(el('div', { className: 'layer' }, box, label, slide));
      }
    }
    $('layers').replaceChildren(...parts);
  };

  /* ---- the brush ---- */
  const startBrush = guard(async () => {
    if (S.brush || !S.list || !backend.writes) return;
    if (!S.rater) { $('rater').focus(); throw new Error('Tell who rates first: initials or a number.'); }
    const layer = S.data.layers.find((item) => item.label === S.list.label && item.mask);
    const grid = layer && S.data.layers.find((item) => item.kind === 'image' && item.frame === layer.frame);
    if (!grid) throw new Error('There is no image on the grid of this mask.');
    const at = S.mm;
    await setBack(grid.key, true);
    if (!S.images.get(grid.key).whole) {
      S.images.delete(grid.key);
      await setBack(grid.key, true);
    }
    go(at);
    const data = await backend.volume(S.label, layer.key, { edited: true });
    const drawn = await niivue.NVImage.loadFromUrl({ url: data, name: 'mask.nii' });
    S.brush = { layer, was: S.on.get(layer.key), changed: false };
    S.on.delete(layer.key); compose();
    if (!nv.loadDrawing(drawn)) { S.brush = null; throw new Error('The mask does not lie on the grid of the image.'); }
    S.brush.changed = false;
    nv.setDrawOpacity(0.55);
    nv.setDrawingEnabled(true);
    pen();
    $('brushwhat').textContent = layer.title;
    $('brushbar').hidden = false;
    say('draw with the left button; nothing is kept until you save the mask');
  });
  nv.onDrawingChanged = () => { if (S.brush) S.brush.changed = true; };
  const pen = () => {
    nv.opts.penSize = Number($('brushsize').value);
    nv.setPenValue($('erase').checked ? 0 : 1, false);
  };
  const leaveBrush = (force = false) => {
    if (!S.brush) return true;
    if (!force && S.brush.changed && !window.confirm('Leave without saving the mask?')) return false;
    const { layer, was } = S.brush;
    S.brush = null;
    nv.setDrawingEnabled(false);
    nv.closeDrawing();
    $('brushbar').hidden = true;
    S.images.delete(layer.key);
    turnOn(layer.key, was || 0.5);
    say('');
    return true;
  };
  const saveBrush = guard(async () => {
    if (!S.brush || !nv.drawBitmap) return;
    const { layer } = S.brush;
    say('saving …');
    const data = nv.drawBitmap.map((v) => (v ? 1 : 0));
    const answer = await backend.mask(S.label, layer.key, data);
    kept(S.label, answer, false);
    S.brush.changed = false;
    say(`saved: ${answer.voxels} voxels`);
  });
  /* Takes what is connected with the crosshair out of the mask. */
  const dropOne = () => {
    if (!S.brush || !nv.drawBitmap) return;
    const dims = nv.back.dimsRAS.slice(1, 4), bits = nv.drawBitmap;
    const vox = nv.frac2vox(nv.scene.crosshairPos).map(Math.round);
    const at = (x, y, z) => x + dims[0] * (y + dims[1] * z);
    let start = -1, best = 1e9;
    for (let z = -2; z <= 2; z++) for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) {
      const [i, j, k] = [vox[0] + x, vox[1] + y, vox[2] + z];
      if (i < 0 || j < 0 || k < 0 || i >= dims[0] || j >= dims[1] || k >= dims[2]) continue;
      const away = x * x + y * y + z * z;
      if (bits[at(i, j, k)] && away < best) { best = away; start = at(i, j, k); }
    }
    if (start < 0) { say('There is no lesion of the mask at the crosshair.', true); return false; }
    const open = [start];
    bits[start] = 0;
    while (open.length) {
      const p = open.pop(), i = p % dims[0], j = Math.floor(p / dims[0]) % dims[1], k = Math.floor(p / dims[0] / dims[1]);
      for (let z = -1; z <= 1; z++) for (let y = -1; y <= 1; y++) for (let x = -1; x <= 1; x++) {
        const [a, b, c] = [i + x, j + y, k + z];
        if (a < 0 || b < 0 || c < 0 || a >= dims[0] || b >= dims[1] || c >= dims[2]) continue;
        const q = at(a, b, c);
        if (bits[q]) { bits[q] = 0; open.push(q); }
      }
    }
    S.brush.changed = true;
    nv.drawAddUndoBitmap();
    nv.refreshDrawing(true);
    return true;
  };

  /* ---- dialogs, keys, start ---- */
  const dialog = (title, body) => {
    $('dialogtitle').textContent = title;
    $('dialogbody').replaceChildren(body);
    $('dialog').showModal();
  };
  const help = () => dialog('Keys', el('table', {}, ...HELP.map(([key, what]) => el('tr', {}, el('td', {}, el('kbd', {}, key)), el('td', {}, what)))));
  const agreement = guard(async () => {
    const { columns, rows } = await backend.agreement();
    const names = ['marker', 'rater', 'against', 'n', 'exact_pct', 'kappa', 'icc', 'bias', 'loa_low', 'loa_high', 'reason'];
    const text = (value) => (value === null || value === undefined ? 'n/a' : typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value));
    const heads = { exact_pct: 'equal, %', icc: 'ICC', loa_low: 'limits of agreement', loa_high: 'to' };
    const titles = new Map(S.about.form.flatMap((group) => group.markers.map((marker) => [marker.name, marker.title])));
    const shown = (row, name) => (name === 'marker' ? titles.get(row.marker) || row.marker : text(row[name]));
    const table = el('table', {}, el('tr', {}, ...names.map((name) => el('th', { title: columns[name], scope: 'col' }, heads[name] || name))),
      ...rows.map((row) => el('tr', {}, ...names.map((name) => el('td', {}, shown(row, name))))));
    dialog('How raters agree', rows.length ? table : el('p', {}, 'Nothing was rated yet that can be compared.'));
  });
  const tab = (name) => {
    for (const id of ['lesions', 'grades', 'layers']) {
      $(id).hidden = id !== name;
      $(`tab-${id}`).setAttribute('aria-selected', String(id === name));
      $(`tab-${id}`).tabIndex = id === name ? 0 : -1;
    }
    $('acts').hidden = name !== 'lesions';
  };
  const move = (by) => {
    if (!S.list) return;
    const rows = everything(S.list), at = Math.min(Math.max(S.at + by, 0), rows.length - 1);
    if (rows.length) choose(S.list.name, at);
  };
  const KEYS = {
    j: () => move(1), k: () => move(-1), n: () => step(1), p: () => step(-1),
    a: () => judge('accept'), r: () => judge('reject'), c: () => { tab('lesions'); $('kind').focus(); }, i: add, u: undo, '?': help,
    b: startBrush, o: () => { S.visible = !S.visible; compose(); },
    '+': () => closer(S.zoom * 2), '=': () => closer(S.zoom * 2), '-': () => closer(S.zoom / 2), 0: () => closer(1),
    1: () => tab('lesions'), 2: () => tab('grades'), 3: () => tab('layers'),
  };
  const BRUSH = {
    e: () => { $('erase').checked = !$('erase').checked; pen(); }, s: saveBrush, z: () => nv.drawUndo(), x: dropOne, escape: () => leaveBrush(),
    '[': () => { $('brushsize').stepDown(); pen(); }, ']': () => { $('brushsize').stepUp(); pen(); },
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $('dialog').open) return;
    const target = event.target;
    const typed = target.matches('select, input:not([type=checkbox], [type=radio], [type=range])');
    if (typed && event.key !== 'Escape') return;
    if (target === $('visits') && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault(); step(event.key === 'ArrowDown' ? 1 : -1); return;
    }
    if (target.getAttribute('role') === 'tab' && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) {
      const ids = ['lesions', 'grades', 'layers'], at = ids.findIndex((id) => target.id === `tab-${id}`);
      const next = ids[(at + (event.key === 'ArrowRight' ? 1 : 2)) % 3];
      tab(next); $(`tab-${next}`).focus(); return;
    }
    const key = event.key.toLowerCase();
    const work = (S.brush && BRUSH[key]) || (S.data && KEYS[key]) || (key === '?' && help);
    if (!work) return;
    event.preventDefault(); event.stopPropagation();
    if (typed) target.blur();
    work();
  }, true);

  const theme = (value) => {
    document.documentElement.dataset.theme = value;
    $('theme').setAttribute('aria-pressed', String(value === 'dark'));
    try { localStorage.setItem('csvdprep-theme', value); } catch (error) { /* private windows may not keep anything */ }
  };
  const fromHash = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const visit = asked.get('visit');
    return visit && S.visits.some((item) => item.visit === visit) ? [visit, asked.get('lesion') || ''] : null;
  };
  const refresh = async () => {
    S.visits = (await backend.visits()).visits;
    filterVisits(); progress();
  };

  const start = guard(async () => {
    let kept = null;
    try { kept = localStorage.getItem('csvdprep-theme'); } catch (error) { /* as above */ }
    theme(kept || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
    S.about = await backend.about();
    $('folder').textContent = S.about.folder + (S.about.blind ? ' (blinded)' : '');
    let name = '';
    try { name = localStorage.getItem('csvdprep-rater') || ''; } catch (error) { /* as above */ }
    S.rater = S.about.rater || name;
    $('rater').value = S.rater;
    $('rater').disabled = Boolean(S.about.rater);
    $('agree').hidden = S.about.blind || !backend.writes;
    await refresh();
    const asked = fromHash();
    if (asked) await open(...asked);
    else if (S.visits.length) await open(S.visits[0].visit);
    else say('No visit was found in this folder.', true);
    await ready();
    document.body.dataset.ready = 'yes';
  });

  $('rater').onchange = guard(async () => {
    S.rater = $('rater').value.trim();
    try { localStorage.setItem('csvdprep-rater', S.rater); } catch (error) { /* as above */ }
    S.undo = []; $('undo').disabled = true;
    await refresh();
    const label = S.label;
    S.label = '';
    if (label) await open(label);
  });
  window.addEventListener('hashchange', () => { const asked = fromHash(); if (asked) open(...asked); });
  window.addEventListener('beforeunload', (event) => { if (S.brush && S.brush.changed) event.preventDefault(); });
  $('visits').addEventListener('scroll', () => requestAnimationFrame(drawVisits), { passive: true });
  $('find').oninput = () => { $('visits').scrollTop = 0; filterVisits(); };
  $('image').onchange = guard(() => setBack($('image').value));
  $('planes').onchange = () => nv.setSliceType(Number($('planes').value));
  $('low').oninput = windowed; $('high').oninput = windowed;
  $('zoom').onchange = () => closer(Number($('zoom').value));
  $('outline').onchange = compose;
  $('neuro').onchange = () => nv.setRadiologicalConvention(!$('neuro').checked);
  $('cross').onchange = () => nv.setCrosshairWidth($('cross').checked ? 0.35 : 0);
  $('accept').onclick = () => judge('accept');
  $('reject').onclick = () => judge('reject');
  $('kind').onchange = () => { const value = $('kind').value; $('kind').blur(); if (value) judge(value); };
  $('add').onclick = add; $('undo').onclick = undo; $('help').onclick = help; $('agree').onclick = agreement;
  $('brush').onclick = startBrush; $('brushsave').onclick = saveBrush; $('brushend').onclick = () => leaveBrush();
  $('dropone').onclick = dropOne; $('drawundo').onclick = () => nv.drawUndo();
  $('brushsize').oninput = pen; $('erase').onchange = pen;
  $('theme').onclick = () => theme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  for (const id of ['lesions', 'grades', 'layers']) $(`tab-${id}`).onclick = () => tab(id);
  window.addEventListener('resize', drawVisits);
  window.desk = { state: S, nv, go };
  start();
})();
