"use strict";
// The same rules as ranges.py, over the same facts; the page's tables hold the released numbers without this script.
(() => {
  const root = document.currentScript.closest("[data-fz-interactive]");
  const find = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const facts = JSON.parse(find("script[data-facts]").textContent);
  const words = facts.words;
  const steps = facts.criteria.length;

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const shown = (n) => (n < facts.small.below ? facts.small.text : n.toLocaleString("en-US"));
  const between = (low, high) =>
    shown(low) === shown(high) ? shown(low) : fill(words.range, { low: shown(low), high: shown(high) });

  // --- the ranges of a state: off[i] per criterion, at[s] = position of slider s -----------------------------------

  const looser = (one, other) =>
    facts.sliders.every((slider, s) => {
      const own = slider.scale[slider.protocol];
      const gap = (one[s] ?? own) - (other[s] ?? own);
      return slider.direction ? gap * slider.direction >= 0 : gap === 0;
    });

  function funnel(off, at) {
    const atLeast = [], atMost = [];
    for (const [criterion, setting] of facts.columns) {
      const state = {};
      facts.sliders.forEach((slider, s) => {
        if (slider.criteria.includes(criterion)) state[s] = slider.scale[at[s]];
      });
      atLeast.push(off[criterion] || looser(state, setting));
      atMost.push(!off[criterion] && looser(setting, state));
    }
    const falls = facts.clauses.map(([fails, doubts]) => {
      const places = [...fails, ...doubts];
      if (!places.every((j) => atMost[j])) return null;
      return { step: Math.max(...places.map((j) => facts.columns[j][0])), fails: !doubts.length };
    });
    const gap = (columns) => {
      const covered = [...off];
      for (const j of columns) if (atLeast[j]) covered[facts.columns[j][0]] = true;
      const first = covered.findIndex((x) => !x);
      return first < 0 ? steps : first;
    };
    const rows = Array.from({ length: steps }, () => [0, 0, 0, 0]);
    const add = (row, place, n, certain, excluded) => {
      row[place] += certain ? n : excluded ? 0 : Math.min(n, 0);
      row[place + 1] += excluded ? 0 : certain ? n : Math.max(n, 0);
    };
    for (const [n, passes, stays, clauses] of facts.groups) {
      const inside = gap(stays), sure = gap(passes);
      let outside = steps, unsure = steps;
      for (const c of clauses) {
        if (!falls[c]) continue;
        unsure = Math.min(unsure, falls[c].step);
        if (falls[c].fails) outside = Math.min(outside, falls[c].step);
      }
      rows.forEach((row, k) => {
        add(row, 0, n, inside > k, outside <= k);
        add(row, 2, n, sure > k, unsure <= k);
      });
    }
    return rows;
  }

  // --- the page ------------------------------------------------------------------------------------------------------

  const switches = all("[data-switch]");
  const sliders = all("[data-slider]").map((box) => ({
    box, input: box.querySelector("input"), output: box.querySelector("output"), note: box.querySelector("[data-note]"),
  }));
  const original = facts.sliders.map((slider) => slider.protocol);
  const protocol = funnel(facts.criteria.map(() => false), original);
  let plot = null, timer = 0;

  function note(slider, position, unused) {
    const value = slider.texts[slider.protocol];
    if (unused) return words.switched_off;
    if (position === slider.protocol) return words.at_protocol;
    const gap = (slider.scale[position] - slider.scale[slider.protocol]) * slider.direction;
    return fill(gap > 0 ? words.looser : gap < 0 ? words.stricter : words.changed, { value });
  }

  function refresh() {
    const off = switches.map((one) => !one.checked);
    const at = sliders.map((one) => Number(one.input.value));
    const rows = funnel(off, at);
    const last = rows[steps - 1];
    const answers = { possible: between(last[0], last[1]), confirmed: between(last[2], last[3]) };
    for (const key of ["possible", "confirmed"]) find(`[data-answer=${key}]`).textContent = answers[key];

    sliders.forEach((one, s) => {
      const slider = facts.sliders[s];
      const unused = slider.criteria.every((i) => off[i]);
      const said = note(slider, at[s], unused);
      one.output.textContent = slider.texts[at[s]];
      one.note.textContent = said;
      one.input.setAttribute("aria-valuetext", `${slider.texts[at[s]]}, ${said}`);
      one.input.disabled = unused;
      one.box.classList.toggle("fzi-changed", at[s] !== slider.protocol && !unused);
      one.box.classList.toggle("fzi-unused", unused);
    });
    const moved = at.filter((x, s) => x !== original[s]).length;
    const effective = at.filter((x, s) => x !== original[s] && !sliders[s].input.disabled).length;
    const changes = off.filter(Boolean).length + effective;
    const gap = last[0] !== last[1] || last[2] !== last[3];
    find("[data-why]").textContent = gap ? words.wide : changes > 1 ? words.narrow : words.exact;
    find("[data-reset]").disabled = !moved && !off.some(Boolean);

    rows.forEach((row, k) => {
      const line = find(`[data-row="${k}"]`);
      const cells = line.querySelectorAll("td");
      cells[0].textContent = between(row[0], row[1]);
      cells[1].textContent = between(row[2], row[3]);
      line.classList.toggle("fzi-waived", off[k]);
      line.querySelector("[data-out]").textContent = off[k] ? ` (${words.left_out})` : "";
    });
    const state = changes ? words.state_changed : words.state_protocol;
    find("[data-caption]").textContent = fill(words.table_caption, { state });
    draw(rows, off);
    return answers;
  }

  function changed() {
    const answers = refresh();
    clearTimeout(timer); // one announcement after the last move, not one for each step of a dragged slider
    timer = setTimeout(() => { find("[data-status]").textContent = fill(words.announce, answers); }, 400);
  }

  // --- the chart: made by Bokeh, which only gets new numbers here -----------------------------------------------------

  const drawnLow = (n) => (n < facts.small.below ? 0 : n); // "<8" is drawn as from 0 to 7
  const drawnHigh = (n) => (n < facts.small.below ? Math.max(facts.small.below - 1, n, 0) : n);

  function draw(rows, off) {
    if (!plot) return;
    const narrow = root.clientWidth < 560;
    const data = { y: [], low: [], high: [], sure: [], perhaps: [], before: [], top: [], bottom: [], text: [] };
    const labels = new Map();
    rows.forEach((row, k) => {
      data.y.push(-k);
      data.low.push(drawnLow(row[0]));
      data.high.push(drawnHigh(row[1]));
      data.sure.push(drawnLow(row[2]));
      data.perhaps.push(drawnHigh(row[3]));
      data.before.push(drawnHigh(protocol[k][1]));
      data.top.push(-k + 0.45);
      data.bottom.push(-k - 0.45);
      data.text.push(between(row[0], row[1]));
      const name = narrow ? facts.criteria[k].id : `${facts.criteria[k].id} ${facts.criteria[k].name}`;
      labels.set(-k, off[k] ? `${name}, ${words.left_out}` : name);
    });
    plot.document.get_model_by_name("fz-ranges").data = data;
    plot.document.get_model_by_name("fz-names").major_label_overrides = labels;
  }

  async function start() {
    for (const one of switches) one.addEventListener("change", changed);
    for (const one of sliders) one.input.addEventListener("input", changed);
    find("[data-reset]").addEventListener("click", () => {
      for (const one of switches) one.checked = true;
      sliders.forEach((one, s) => { one.input.value = original[s]; });
      changed();
      (sliders[0]?.input ?? switches[0]).focus(); // the button is disabled now and would lose the focus
    });
    const details = find(".fzi-singles");
    details.open = false;
    window.addEventListener("beforeprint", () => { details.open = true; });
    window.addEventListener("resize", refresh);
    find(".fzi-live").hidden = false;
    refresh();
    try {
      const item = JSON.parse(find("script[data-chart]").textContent);
      plot = [...(await window.Bokeh.embed.embed_item(item, find(".fzi-chart"))).roots][0].model;
      refresh();
    } catch (error) { // numbers and tables work without the chart
      plot = null;
      find(".fzi-figure").hidden = true;
      console.error(error);
    }
    root.dataset.ready = "yes";
  }

  root.funnel = funnel; // for the tests, which compare it with ranges.py
  start();
})();
