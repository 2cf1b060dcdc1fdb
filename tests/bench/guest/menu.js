// What `render.rs` does, for hosts that run JavaScript: the same menu, parsed and rendered for every request.
import MENU from "menu.json";

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (character) => ESCAPES[character]);

function render(text, language) {
  const menu = JSON.parse(text);
  let html = `<h1>${escape(menu.store[language])}</h1>`;
  for (const section of menu.sections) {
    html += `<h2>${escape(section.name[language])}</h2><ul>`;
    for (const item of section.items) {
      const kind = item.available ? "item" : "item gone";
      const major = Math.trunc(item.price_minor / 100);
      const minor = String(item.price_minor % 100).padStart(2, "0");
      html += `<li id="${item.id}" class="${kind}"><b>${escape(item.name[language])}</b>`;
      html += `<span>${menu.currency} ${major}.${minor}</span></li>`;
    }
    html += "</ul>";
  }
  return html;
}

export default {
  async fetch(request) {
    const language = request.url.endsWith("lang=zh") ? "zh" : "en";
    return new Response(render(MENU, language), {
      headers: { "content-type": "text/html; charset=utf-8" },
    });
  },
};
