// Swagger UI reads settings out of the page's query, and would show anybody's description as ours.
if (location.search) {
  history.replaceState(null, '', location.pathname + location.hash)
}

const here = document.currentScript.src

// A proxy may serve this server under a prefix of which it knows nothing.
async function show() {
  const spec = await (await fetch(new URL('swagger.json', here))).json()
  spec.basePath = new URL('..', here).pathname.replace(/\/$/, '')
  window.SwaggerUIBundle({
    spec,
    dom_id: '#docs',
    deepLinking: true,
    defaultModelsExpandDepth: -1,
    docExpansion: 'list',
    displayRequestDuration: true,
    validatorUrl: null,
  })
}

show()
