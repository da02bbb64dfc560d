// Draws every figure of the page from the specification that lies beside it.
(async () => {
  const options = {
    mode: "vega-lite",
    renderer: "svg", // sharp on a projector and in print
    ast: true, // expressions are interpreted, not compiled: the page's policy forbids eval
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    scaleFactor: { svg: 1, png: 3 },
  };
  for (const figure of document.querySelectorAll("figure")) {
    const place = figure.querySelector(".drawing");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    try {
      await vegaEmbed(place, spec, { ...options, downloadFileName: figure.id });
    } catch (error) {
      place.textContent = `This figure could not be drawn: ${error.message}`;
      console.error(error);
    }
  }
  // The figures have pushed down what the address points at.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
})();
