// What a reader plays with. Plain script over numbers that stand in the page: works from disk, by keyboard, in both themes.
(() => {
  "use strict";

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  let made = 0;
  const id = () => `dhs-${++made}`;
  const signed = (x, digits = 1) => (x === null ? "" : (x < 0 ? "\u2212" : "+") + Math.abs(x).toFixed(digits));
  const percent = (x) => (x > 0 && 100 * x < 10 ? (100 * x).toPrecision(2) : Math.round(100 * x)) + " %";
  const count = (x) => Math.round(x).toLocaleString("en");
  const plain = (x) => (x === 0 ? "0" : x >= 0.01 ? x.toPrecision(2) : x.toFixed(Math.min(6, 1 - Math.floor(Math.log10(x)))));

  // a stamp of the sprite, shown `width` CSS pixels wide
  const tile = (data, width) => {
    const node = make("div", { class: "dhs-tile", role: "img" });
    node.style.width = node.style.height = `${width}px`;
    node.style.backgroundSize = `${data.columns * width}px ${data.rows * width}px`;
    node.show = (place, text) => {
      const row = Math.floor(place / data.columns);
      node.style.backgroundPosition = `${-(place % data.columns) * width}px ${-row * width}px`;
      node.setAttribute("aria-label", text);
    };
    return node;
  };

  const slider = (label, steps, value, change) => {
    const name = id();
    const input = make("input", { type: "range", id: name, min: 0, max: steps.length - 1, step: 1, value });
    const shown = make("output", { for: name });
    const say = () => {
      shown.textContent = steps[input.value];
      input.setAttribute("aria-valuetext", steps[input.value]);
    };
    input.addEventListener("input", () => { say(); change(); });
    say();
    return { node: make("div", { class: "dhs-control" }, make("label", { for: name }, label), input, shown), input };
  };

  const buttons = (label, names, change, pressed = 0) => {
    const group = make("div", { class: "dhs-buttons", role: "group", "aria-label": label });
    const all = names.map((name, i) => {
      const button = make("button", { type: "button", "aria-pressed": String(i === pressed) }, name);
      button.addEventListener("click", () => {
        all.forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
        change(i);
      });
      return button;
    });
    group.append(...all);
    return group;
  };

  const plays = {
    explorer(frame, data) {
      const { seeing, theta_e, source, snr } = data.axes;
      const panels = ["control", "arc", "stamp", "decoy"];
      const titles = { control: "twin", arc: "arc", stamp: "with the arc", decoy: `look-alike: ${data.kind}` };
      const tiles = panels.map(() => tile(data, 132));
      const captions = panels.map(() => make("p"));
      let noise = 0;
      const update = () => {
        const [s, t, g, b] = [sliders.seeing, sliders.theta, sliders.source, sliders.snr].map((x) => Number(x.input.value));
        const place = ((s * theta_e.length + t) * source.length + g) * snr.length + b;
        panels.forEach((name, i) => {
          const [picture, logit] = (name === "control" ? data.control[s] : data[name][place])[noise];
          const text = logit === null ? titles[name] : `${titles[name]}: logit ${signed(logit)}`;
          tiles[i].show(picture, text);
          captions[i].textContent = text;
        });
      };
      const sliders = {
        theta: slider("Einstein radius", theta_e.map((x) => `${x}\u2033`), 2, update),
        source: slider("source galaxy", source.map((_, i) => `${i + 1} of ${source.length}`), 0, update),
        snr: slider("signal-to-noise", snr.map(String), snr.length - 1, update),
        seeing: slider("seeing", seeing.map((x) => `${x}\u2033`), 0, update),
      };
      const toggle = buttons("noise", ["with noise", "without noise"], (i) => { noise = i; update(); });
      const shown = make("div", { class: "dhs-tiles", "aria-live": "polite" });
      tiles.forEach((t, i) => shown.append(make("div", {}, t, captions[i])));
      frame.append(shown, ...Object.values(sliders).map((s) => s.node), toggle);
      update();
    },

    interventions(frame, data) {
      const picture = tile(data, 220);
      const said = make("p", { class: "dhs-said", "aria-live": "polite" });
      const holder = make("div", { class: "dhs-bars" });
      const top = Math.max(...data.galaxies.flatMap((g) => g.tiles.map((t) => t[1])));
      const low = Math.min(...data.galaxies.flatMap((g) => g.tiles.map((t) => t[1])));
      const digits = top - low < 2 ? 2 : 1;
      const choose = (galaxy) => {
        holder.replaceChildren();
        const show = (k) => {
          const [name, logit, place] = galaxy.tiles[k];
          const change = logit - galaxy.tiles[0][1];
          const text = k === 0 ? `logit ${signed(logit, digits)}` : `${name}: logit ${signed(logit, digits)}, a change of ${signed(change, digits)}`;
          picture.show(place, `${galaxy.about}, ${text}`);
          said.textContent = `${galaxy.about}. ${text[0].toUpperCase()}${text.slice(1)}.`;
        };
        const group = buttons("what is changed", galaxy.tiles.map((t) => t[0]), show);
        [...group.children].forEach((button, k) => {
          const bar = make("span", { class: "dhs-bar", "aria-hidden": "true" });
          bar.style.width = `${Math.round(100 * (galaxy.tiles[k][1] - low) / (top - low || 1))}%`;
          button.append(make("span", { class: "dhs-value" }, ` ${signed(galaxy.tiles[k][1], digits)}`), bar);
        });
        holder.append(group);
        show(0);
      };
      const names = data.galaxies.map((_, i) => `galaxy ${i + 1}`);
      frame.append(buttons("galaxy", names, (i) => choose(data.galaxies[i])));
      frame.append(make("div", { class: "dhs-side" }, make("div", {}, picture, said), holder));
      choose(data.galaxies[0]);
    },

    threshold(frame, data) {
      const sizes = data.groups.map((g) => g[1]);
      const said = make("p", { class: "dhs-said", "aria-live": "polite" });
      const body = make("tbody");
      const table = make("table", { class: "dhs" }, make("thead", {}, make("tr", {},
        make("th", { scope: "col" }, "what is scored"), make("th", { scope: "col" }, "passes"), make("th", { scope: "col" }, "of"))), body);
      const update = () => {
        const k = Number(control.input.value);
        const [, ...passed] = data.rows[k];
        const recall = passed[0] / sizes[0];
        const rate = passed[1] / sizes[1];
        body.replaceChildren(...data.groups.map(([name, n], i) => {
          const bar = make("span", { class: "dhs-bar", "aria-hidden": "true" });
          bar.style.width = `${100 * passed[i] / n}%`;
          return make("tr", {}, make("td", {}, name), make("td", {}, percent(passed[i] / n), bar), make("td", {}, count(n)));
        }));
        const lenses = recall * data.prevalence;
        const most = data.bounds[k][1] * (1 - data.prevalence);
        const alarms = rate * (1 - data.prevalence);
        const [low, high] = data.recall_bounds[k];
        let text = `At a threshold of ${signed(data.rows[k][0], 2)} the network finds ${percent(recall)} of the lenses (${percent(low)} to ${percent(high)}). `;
        if (passed[1] < 10) text += `Only ${passed[1]} of ${count(sizes[1])} survey galaxies pass: too few to know the rate. `;
        else text += `Of survey galaxies ${percent(rate)} pass. `;
        if (recall === 0) text += "Nothing is found, so there is no candidate list.";
        else if (passed[1] === 0) text += `With one lens in ${count(1 / data.prevalence)} galaxies, one candidate in ${count((lenses + most) / lenses)} or better would be a lens.`;
        else text += `With one lens in ${count(1 / data.prevalence)} galaxies, one candidate in ${count((lenses + alarms) / lenses)} would be a lens: a purity of ${plain(lenses / (lenses + alarms))}.`;
        said.textContent = text;
      };
      const control = slider("threshold on the logit", data.rows.map((r) => signed(r[0], 2)), Math.floor(data.rows.length * 0.8), update);
      frame.append(control.node, said, table);
      update();
    },

    completeness(frame, data) {
      const said = make("p", { class: "dhs-said", "aria-live": "polite" }, "Point at a cell, or move with the arrow keys.");
      const top = Math.max(0.1, ...data.cells.flat().map((c) => c[2] || 0));
      const nodes = [];
      const body = make("tbody");
      data.cells.forEach((line, i) => {
        const row = make("tr", {}, make("th", { scope: "row" }, data.snrs[i]));
        nodes.push(line.map(([n, k, value, low, high], j) => {
          const text = `Einstein radius ${data.radii[j]}\u2033, signal-to-noise ${data.snrs[i]}: ` + (n === 0
            ? "no arc was injected here."
            : `${k} of ${n} arcs found, ${percent(value)}${low === null ? "" : ` (${percent(low)} to ${percent(high)})`}.`);
          const button = make("button", { type: "button", "aria-label": text, tabindex: i + j === 0 ? 0 : -1 }, value === null ? "\u2013" : percent(value));
          const share = value === null ? 0 : value / top;
          button.style.setProperty("--share", share.toFixed(2));
          button.classList.toggle("dhs-high", share > 0.63);
          const show = () => { said.textContent = text; };
          button.addEventListener("mouseenter", show);
          button.addEventListener("focus", show);
          button.addEventListener("click", show);
          button.addEventListener("keydown", (event) => {
            const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
            const next = move && nodes[i + move[0]] && nodes[i + move[0]][j + move[1]];
            if (next) { event.preventDefault(); button.tabIndex = -1; next.tabIndex = 0; next.focus(); }
          });
          row.append(make("td", {}, button));
          return button;
        }));
        body.append(row);
      });
      const head = make("tr", {}, make("td"), ...data.radii.map((r) => make("th", { scope: "col" }, r)));
      const caption = make("caption", {}, "Across: Einstein radius in arcsec. Down: matched signal-to-noise ratio.");
      frame.append(make("div", { class: "dhs-scroll" }, make("table", { class: "dhs-map" }, caption, make("thead", {}, head), body)), said);
    },
  };

  const start = () => document.querySelectorAll(".dhs-play").forEach((frame) => {
    const numbers = frame.querySelector('script[type="application/json"]');
    const how = plays[frame.dataset.play];
    if (!numbers || !how || frame.dataset.started) return;
    frame.dataset.started = "yes";
    frame.querySelectorAll("p").forEach((p) => p.remove());
    frame.append(make("p", { class: "dhs-title" }, frame.getAttribute("aria-label")));
    how(frame, JSON.parse(numbers.textContent));
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
