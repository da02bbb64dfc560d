// Draws every figure of the page from the specification that lies beside it.
(async () => {
  const READABLE = 0.8; // no figure is drawn smaller than this share of its size: rather it scrolls
  const options = {
    mode: "vega-lite",
    renderer: "svg", // sharp on a projector and in print
    ast: true, // expressions are interpreted, not compiled: the page's policy forbids eval
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    scaleFactor: { svg: 1, png: 3 },
  };
  // What is wider than its box says so, and can be scrolled with the keyboard.
  const width = new ResizeObserver((boxes) => {
    for (const { target } of boxes) {
      const wider = target.scrollWidth > target.clientWidth + 1;
      target.parentElement.classList.toggle("wider", wider);
      if (wider) target.tabIndex = 0;
    }
  });
  document.querySelectorAll(".scroll").forEach((box) => width.observe(box));
  for (const figure of document.querySelectorAll("figure")) {
    const place = figure.querySelector(".drawing");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    try {
      const { view } = await vegaEmbed(place, spec, { ...options, downloadFileName: figure.id });
      const box = place.querySelector(".chart-wrapper");
      const svg = box.querySelector("svg");
      // To a screen reader the drawing is one picture; the menus beside it are not part of it.
      ["role", "aria-roledescription", "aria-label"].forEach((name) => box.removeAttribute(name));
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", spec.description);
      const fit = () => { svg.style.minWidth = `${READABLE * svg.getAttribute("width")}px`; };
      fit();
      width.observe(box);
      figure.dispatchEvent(new CustomEvent("drawn", { bubbles: true, detail: { view, spec, fit } }));
    } catch (error) {
      place.textContent = `This figure could not be drawn: ${error.message}`;
      console.error(error);
    }
  }
  // The figures have pushed down what the address points at.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
})();
