// Tip is a line of text beside the mouse.

const tip = (() => {
  const e = document.createElement("div");
  e.className = "tip";
  e.setAttribute("role", "tooltip");
  e.hidden = true;
  return e;
})();

export class Tip {
  show(x: number, y: number, text: string): void {
    if (!tip.isConnected) document.body.append(tip);
    tip.textContent = text.length > 600 ? text.slice(0, 600) + "…" : text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = document.documentElement.clientWidth - width - 8;
    tip.style.left = Math.max(4, Math.min(x + 14, right)) + "px";
    tip.style.top = (y + height + 24 > innerHeight ? y - height - 10 : y + 16) + "px";
  }

  hide(): void {
    tip.hidden = true;
  }
}
