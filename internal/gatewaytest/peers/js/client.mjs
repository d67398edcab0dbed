// The scenario of doc.go through the JavaScript SDK's client, 1.0.
// usage: node client.mjs --base URL [--key SECRET] [--binding JSONRPC|HTTP+JSON|GRPC] [--agent NAME] [--no-file]
// A gRPC client has no path to name the agent behind a gateway: --agent does it in
// metadata, unless the card gives a tenant.
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { SendMessageRequest, TaskState } from '@a2a-js/sdk'
import {
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client'
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc'

const { values: opt } = parseArgs({
  options: {
    base: { type: 'string' },
    key: { type: 'string', default: '' },
    binding: { type: 'string', default: 'JSONRPC' },
    agent: { type: 'string', default: '' },
    'no-file': { type: 'boolean', default: false },
  },
})
const base = opt.base.replace(/\/+$/, '')

const fetchImpl = (url, init = {}) => {
  const headers = new Headers(init.headers)
  if (opt.key) headers.set('Authorization', `Bearer ${opt.key}`)
  return fetch(url, { ...init, headers })
}

const state = (s) => TaskState[s].replace('TASK_STATE_', '').toLowerCase().replaceAll('_', '-')
const textOf = (parts = []) => parts.map((p) => (p.content?.$case === 'text' ? p.content.value : '')).join('')
const describe = (r) =>
  r.status
    ? { kind: 'task', id: r.id, state: state(r.status.state), text: (r.artifacts ?? []).map((a) => textOf(a.parts)).join('') }
    : { kind: 'message', id: r.messageId, state: '', text: textOf(r.parts) }
const request = (text, configuration = {}) =>
  SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
    configuration,
  })

// The resolver replaces the last path segment of a base that does not end in a slash.
const card = await new DefaultAgentCardResolver({ fetchImpl }).resolve(`${base}/`)
const face = card.supportedInterfaces.find((i) => i.protocolBinding === opt.binding && i.protocolVersion === '1.0')
if (!face) throw new Error(`the card has no ${opt.binding}: ${JSON.stringify(card.supportedInterfaces)}`)
if (opt.binding !== 'GRPC' && !face.url.startsWith(base)) throw new Error(`the card's interface ${face.url} is not under ${base}`)
// Headers are the business of fetch, except where there is none.
const metadata = {
  before: async (args) => {
    if (opt.binding !== 'GRPC') return
    args.options ??= {}
    args.options.serviceParameters = {
      ...args.options.serviceParameters,
      ...(opt.key && { authorization: `Bearer ${opt.key}` }),
      ...(opt.agent && !face.tenant && { 'x-signalbox-agent': opt.agent }),
    }
  },
  after: async () => {},
}
const client = await new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { 
    transports: [new JsonRpcTransportFactory({ fetchImpl }), new RestTransportFactory({ fetchImpl }), new GrpcTransportFactory()],
    preferredTransports: [opt.binding],
    clientConfig: { interceptors: [metadata] },
  }),
).createFromAgentCard(card)

const out = { card: { name: card.name, url: face.url, version: face.protocolVersion, streaming: !!card.capabilities?.streaming } }
out.send = describe(await client.sendMessage(request('hello')))
out.message = describe(await client.sendMessage(request('message')))

out.stream = { kinds: [], states: [], text: '' }
const kinds = { task: 'task', message: 'message', statusUpdate: 'status-update', artifactUpdate: 'artifact-update' }
for await (const { payload } of client.sendMessageStream(request('stream'))) {
  out.stream.kinds.push(kinds[payload.$case])
  if (payload.value.status) out.stream.states.push(state(payload.value.status.state))
  if (payload.$case === 'artifactUpdate') out.stream.text += textOf(payload.value.artifact.parts)
}

if (!opt['no-file']) {
  const file = await client.sendMessage(
    SendMessageRequest.fromJSON({
      message: {
        messageId: randomUUID(),
        role: 'ROLE_USER',
        parts: [
          { text: 'file' },
          { raw: 'AAFiaW5hcnn//g==', filename: 'blob.bin', mediaType: 'application/octet-stream' },
          { url: 'https://files.example/a.pdf', filename: 'a.pdf', mediaType: 'application/pdf' },
          { data: { list: [1, true, 'x'], n: 3.5 } },
        ],
      },
    }),
  )
  out.file = file.artifacts[0].parts.map((p) => {
    const { $case, value } = p.content
    switch ($case) {
      case 'raw':
        return { bytes: Buffer.from(value).toString('base64'), filename: p.filename, mediaType: p.mediaType }
      case 'url':
        return { url: value, filename: p.filename, mediaType: p.mediaType }
      default:
        return { [$case]: value }
    }
  })
}

const slow = describe(await client.sendMessage(request('slow', { returnImmediately: true })))
for (let i = 0; i < 100; i++) {
  out.get = describe(await client.getTask({ tenant: '', id: slow.id }))
  if (out.get.state !== 'submitted') break
  await new Promise((resolve) => setTimeout(resolve, 20))
}
out.cancel = describe(await client.cancelTask({ tenant: '', id: slow.id, metadata: undefined }))

try {
  await client.getTask({ tenant: '', id: 'no-such-task' })
  throw new Error('an unknown task was found')
} catch (err) {
  // Only JSON-RPC has codes; elsewhere the SDK tells errors apart by their class.
  const code = err.envelopeCode ?? (err.constructor.name === 'TaskNotFoundError' || err.name === 'TaskNotFoundError' ? -32001 : 0)
  out.missing = { code, name: err.name, message: err.message }
}
process.stdout.write(`${JSON.stringify(out)}\n`)
