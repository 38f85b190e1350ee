
"use strict";
// Names are hostile: what is shown goes through textContent, never through markup.
const data = JSON.parse(document.getElementById("data").textContent);

function set(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
const make = (tag, attributes = {}, ...children) => set(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const count = (n) => Math.round(n).toLocaleString("en-US");
const decimal = (n) => n.toLocaleString("en-US", { maximumFractionDigits: n < 100 ? 1 : 0 });

function percent(part, whole) {
  const share = whole > 0 ? (part / whole) * 100 : 0;
  return share > 0 && share < 1 ? "under 1 %" : `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

// In the two largest units, as elsewhere in tcptrace.
function age(seconds) {
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const s = Math.floor(seconds);
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two((s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d ${two((s / 3600) % 24)}h`;
}

// Calls back when the width of an element changes.
function onWidth(node, changed) {
  let last = 0;
  new ResizeObserver(() => {
    if (node.clientWidth !== last && node.clientWidth > 0) {
      last = node.clientWidth;
      changed(last);
    }
  }).observe(node);
}
