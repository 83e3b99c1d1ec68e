'use strict';
(() => {
  // Sort by a column: numbers as numbers, what is missing last.
  const key = cell => {
    const text = (cell?.dataset.value ?? cell?.textContent ?? '').trim().replace('\u2212', '-');
    const number = parseFloat(text);
    return /^[-+]?[\d.]/.test(text) && !Number.isNaN(number) ? number : text.toLowerCase();
  };
  const absent = value => value === '' || value === 'n/a' || value === '\u2013';
  const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0)
    : typeof a === 'number' ? -1 : 1;
  for (const table of document.querySelectorAll('table.sortable')) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if ('plain' in head.dataset) return;
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') === 'ascending';
        for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        for (const body of table.tBodies) {
          const rows = [...body.rows].map(row => [key(row.cells[column]), row]);
          rows.sort(([a], [b]) => absent(a) || absent(b) ? absent(a) - absent(b)
            : down ? compare(b, a) : compare(a, b));
          body.append(...rows.map(([, row]) => row));
        }
      });
    });
  }
  // Show the rows, or the parts of a page, that hold all words.
  for (const place of document.querySelectorAll('[data-filter]')) {
    const label = document.createElement('label');
    const box = document.createElement('input');
    const count = document.createElement('span');
    box.type = 'search';
    label.className = 'filter';
    count.setAttribute('aria-live', 'polite');
    label.append(place.dataset.filter, box, count);
    place.before(label);
    const items = [...place.querySelectorAll(place.tagName === 'TABLE' ? 'tbody tr' : '.item')];
    box.addEventListener('input', () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const item of items) {
        const text = `${item.textContent} ${item.dataset.words ?? ''}`.toLowerCase();
        item.hidden = !words.every(word => text.includes(word));
        shown += !item.hidden;
      }
      count.textContent = words.length ? `${shown} of ${items.length}` : '';
    });
  }
  // Commands name the folder that this page lies in, as a shell reads it.
  const here = location.protocol === 'file:' ? decodeURIComponent(location.pathname) : '';
  const folder = here.slice(0, here.lastIndexOf('/'));
  const quoted = /^[\w@%+=:,./-]+$/.test(folder) ? folder : `'${folder.replaceAll("'", `'"'"'`)}'`;
  const output = folder ? quoted : 'OUTPUT_DIR';
  for (const place of document.querySelectorAll('span.folder')) place.textContent = output;
  // What a link leads to is opened.
  const reveal = () => {
    const goal = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = goal; part; part = part.parentElement) {
      if (part.tagName === 'DETAILS') part.open = true;
    }
    goal?.scrollIntoView();
  };
  addEventListener('hashchange', reveal);
  if (location.hash) reveal();
  // Pictures open large; without this script, their links lead to the file.
  const dialog = document.querySelector('dialog');
  if (!dialog?.showModal) return;
  const picture = dialog.querySelector('object');
  let wide = 100;
  const zoom = step => {
    wide = Math.min(Math.max(wide + step, 50), 400);
    picture.style.width = `${wide}%`;
  };
  for (const link of document.querySelectorAll('a.large')) {
    link.addEventListener('click', event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      dialog.querySelector('b').textContent = link.dataset.title;
      const desk = link.dataset.desk;
      dialog.querySelector('code').textContent = desk ? `csvdprep review ${output} --at ${desk}` : '';
      picture.data = link.href;
      picture.setAttribute('aria-label', link.dataset.title);
      wide = 100;
      zoom(0);
      dialog.showModal();
      dialog.scrollTop = 0;
    });
  }
  dialog.querySelector('.in').addEventListener('click', () => zoom(50));
  dialog.querySelector('.out').addEventListener('click', () => zoom(-50));
  dialog.addEventListener('keydown', event => {
    if (event.key === '+' || event.key === '=') zoom(50);
    if (event.key === '-') zoom(-50);
  });
})();
