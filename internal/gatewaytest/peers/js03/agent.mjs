// A 0.3 agent on the JavaScript SDK of that time. What it does is chosen by the
// text of the message; see doc.go for the list. Each binding has a card of its
// own: that of JSON-RPC below the address, those of the others below /rest and /grpc.
import { randomUUID } from 'node:crypto'
import * as grpc from '@grpc/grpc-js'
import express from 'express'
import { DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express'
import { A2AService, UserBuilder as GrpcUserBuilder, grpcService } from '@a2a-js/sdk/server/grpc'

const message = (ctx, text, taskId) => ({
  kind: 'message',
  messageId: randomUUID(),
  contextId: ctx.contextId,
  ...(taskId && { taskId }),
  role: 'agent',
  parts: [{ kind: 'text', text }],
})

const status = (state, note) => ({ state, ...(note && { message: note }), timestamp: new Date().toISOString() })

class Executor {
  // One entry for each task that works until it is cancelled.
  slow = new Map()

  execute = async (ctx, bus) => {
    const text = ctx.userMessage.parts.map((p) => (p.kind === 'text' ? p.text : '')).join('')
    const { taskId, contextId } = ctx
    const publishStatus = (state, final, note) =>
      bus.publish({ kind: 'status-update', taskId, contextId, status: status(state, note), final })
    const publishParts = (artifactId, parts, append, lastChunk) =>
      bus.publish({
        kind: 'artifact-update',
        taskId,
        contextId,
        artifact: { artifactId, name: 'answer', parts },
        append,
        lastChunk,
      })

    const publishArtifact = (artifactId, chunk, append, lastChunk) =>
      publishParts(artifactId, [{ kind: 'text', text: chunk }], append, lastChunk)

    if (text === 'message') {
      bus.publish(message(ctx, 'reply: message'))
      bus.finished()
      return
    }

    bus.publish(
      ctx.task ?? { kind: 'task', id: taskId, contextId, status: status('submitted'), history: [ctx.userMessage] },
    )
    publishStatus('working', false)
    switch (text) {
      case 'slow':
        await new Promise((resolve) => this.slow.set(taskId, { contextId, resolve }))
        break
      case 'stream': {
        const id = randomUUID()
        publishArtifact(id, 'one ', false, false)
        publishArtifact(id, 'two ', true, false)
        publishArtifact(id, 'three', true, true)
        publishStatus('completed', true)
        break
      }
      case 'file': {
        const sent = ctx.userMessage.parts.slice(1)
        const raw = sent.find((p) => p.file?.bytes)
        const got = Buffer.from(raw.file.bytes, 'base64').toString('hex')
        publishParts(randomUUID(), [{ kind: 'text', text: `got: ${got}` }, ...sent], false, true)
        publishStatus('completed', true)
        break
      }
      case 'fail':
        publishStatus('failed', true, message(ctx, 'failed as asked', taskId))
        break
      case 'input':
        publishStatus('input-required', true, message(ctx, 'what next?', taskId))
        break
      default:
        publishArtifact(randomUUID(), `echo: ${text}`, false, true)
        publishStatus('completed', true)
    }
    bus.finished()
  }

  cancelTask = async (taskId, bus) => {
    const waiting = this.slow.get(taskId)
    this.slow.delete(taskId)
    bus.publish({
      kind: 'status-update',
      taskId,
      contextId: waiting?.contextId ?? '',
      status: status('canceled'),
      final: true,
    })
    waiting?.resolve()
  }
}

const app = express()
let headers = {}
app.get('/__headers', (_req, res) => res.json(headers))
app.use(['/a2a/jsonrpc', '/rest/api'], (req, _res, next) => {
  headers = req.headersDistinct
  next()
})

// The address is part of the card, so the ports come first.
const grpcServer = new grpc.Server()
const grpcPort = await new Promise((resolve, reject) =>
  grpcServer.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (err, port) => (err ? reject(err) : resolve(port))),
)

const port = Number(process.argv[2] ?? 0)
const server = app.listen(port, '127.0.0.1', (err) => {
  if (err) throw err
  const base = `http://127.0.0.1:${server.address().port}`
  const serve = (path, transport, url) => {
    const card = {
      protocolVersion: '0.3.0',
      name: 'peer-js03',
      description: 'Echoes, streams and waits, as it is told.',
      version: '1.0.0',
      url,
      preferredTransport: transport,
      additionalInterfaces: [{ url, transport }],
      capabilities: { streaming: true, pushNotifications: false, stateTransitionHistory: false },
      defaultInputModes: ['text/plain'],
      defaultOutputModes: ['text/plain'],
      skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['test'] }],
    }
    const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor())
    app.use(`${path}/.well-known/agent-card.json`, agentCardHandler({ agentCardProvider: requestHandler }))
    return requestHandler
  }
  const userBuilder = UserBuilder.noAuthentication
  app.use('/a2a/jsonrpc', jsonRpcHandler({ requestHandler: serve('', 'JSONRPC', `${base}/a2a/jsonrpc`), userBuilder }))
  app.use('/rest/api', restHandler({ requestHandler: serve('/rest', 'HTTP+JSON', `${base}/rest/api`), userBuilder }))
  const requestHandler = serve('/grpc', 'GRPC', `127.0.0.1:${grpcPort}`)
  grpcServer.addService(A2AService, grpcService({ requestHandler, userBuilder: GrpcUserBuilder.noAuthentication }))
  process.stdout.write(`READY ${JSON.stringify({ url: base, version: '0.3' })}\n`)
})

// The parent holds our standard input: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume()
