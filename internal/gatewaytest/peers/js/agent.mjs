// A 1.0 agent on the JavaScript SDK. What it does is chosen by the text of the
// message; see doc.go for the list. Each binding has a card of its own: that of
// JSON-RPC below the address, those of the others below /rest and /grpc.
import { randomUUID } from 'node:crypto'
import * as grpc from '@grpc/grpc-js'
import express from 'express'
import { AgentCard, Role, TaskState } from '@a2a-js/sdk'
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express'
import { A2AService, UserBuilder as GrpcUserBuilder, grpcService } from '@a2a-js/sdk/server/grpc'

const textPart = (text) => ({ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' })

const message = (ctx, text, taskId = '') => ({
  messageId: randomUUID(),
  contextId: ctx.contextId,
  taskId,
  role: Role.ROLE_AGENT,
  parts: [textPart(text)],
  metadata: undefined,
  extensions: [],
  referenceTaskIds: [],
})

const status = (state, note) => ({ state, message: note, timestamp: new Date().toISOString() })

class Executor {
  // One entry for each task that works until it is cancelled.
  slow = new Map()

  execute = async (ctx, bus) => {
    const text = ctx.userMessage.parts.map((p) => (p.content?.$case === 'text' ? p.content.value : '')).join('')
    const { taskId, contextId } = ctx
    const publishStatus = (state, note) =>
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(state, note), metadata: undefined }))
    const publishParts = (artifactId, parts, append, lastChunk) =>
      bus.publish(
        AgentEvent.artifactUpdate({
          taskId,
          contextId,
          artifact: {
            artifactId,
            name: 'answer',
            description: '',
            parts,
            metadata: undefined,
            extensions: [],
          },
          append,
          lastChunk,
          metadata: undefined,
        }),
      )

    const publishArtifact = (artifactId, chunk, append, lastChunk) =>
      publishParts(artifactId, [textPart(chunk)], append, lastChunk)

    if (text === 'message') {
      bus.publish(AgentEvent.message(message(ctx, 'reply: message')))
      bus.finished()
      return
    }

    // Every turn begins with a task, also that of a task which exists already.
    bus.publish(
      AgentEvent.task(
        ctx.task ?? {
          id: taskId,
          contextId,
          status: status(TaskState.TASK_STATE_SUBMITTED),
          artifacts: [],
          history: [ctx.userMessage],
          metadata: undefined,
        },
      ),
    )
    publishStatus(TaskState.TASK_STATE_WORKING)
    switch (text) {
      case 'slow':
        await new Promise((resolve) => this.slow.set(taskId, { contextId, resolve }))
        break
      case 'stream': {
        const id = randomUUID()
        publishArtifact(id, 'one ', false, false)
        publishArtifact(id, 'two ', true, false)
        publishArtifact(id, 'three', true, true)
        publishStatus(TaskState.TASK_STATE_COMPLETED)
        break
      }
      case 'file': {
        const sent = ctx.userMessage.parts.slice(1)
        const raw = sent.find((p) => p.content?.$case === 'raw')
        publishParts(randomUUID(), [textPart(`got: ${Buffer.from(raw.content.value).toString('hex')}`), ...sent], false, true)
        publishStatus(TaskState.TASK_STATE_COMPLETED)
        break
      }
      case 'fail':
        publishStatus(TaskState.TASK_STATE_FAILED, message(ctx, 'failed as asked', taskId))
        break
      case 'input':
        publishStatus(TaskState.TASK_STATE_INPUT_REQUIRED, message(ctx, 'what next?', taskId))
        break
      default:
        publishArtifact(randomUUID(), `echo: ${text}`, false, true)
        publishStatus(TaskState.TASK_STATE_COMPLETED)
    }
    bus.finished()
  }

  cancelTask = async (taskId, bus) => {
    const waiting = this.slow.get(taskId)
    this.slow.delete(taskId)
    bus.publish(
      AgentEvent.statusUpdate({
        taskId,
        contextId: waiting?.contextId ?? '',
        status: status(TaskState.TASK_STATE_CANCELED),
        metadata: undefined,
      }),
    )
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
  const url = `http://127.0.0.1:${server.address().port}`
  const serve = (path, protocolBinding, address) => {
    const card = AgentCard.fromJSON({
      name: 'peer-js',
      description: 'Echoes, streams and waits, as it is told.',
      version: '1.0.0',
      supportedInterfaces: [{ url: address, protocolBinding, protocolVersion: '1.0' }],
      capabilities: { streaming: true, pushNotifications: false },
      defaultInputModes: ['text/plain'],
      defaultOutputModes: ['text/plain'],
      skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['test'] }],
    })
    const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor())
    app.use(`${path}/.well-known/agent-card.json`, agentCardHandler({ agentCardProvider: requestHandler }))
    return requestHandler
  }
  const userBuilder = UserBuilder.noAuthentication
  app.use('/a2a/jsonrpc', jsonRpcHandler({ requestHandler: serve('', 'JSONRPC', `${url}/a2a/jsonrpc`), userBuilder }))
  app.use('/rest/api', restHandler({ requestHandler: serve('/rest', 'HTTP+JSON', `${url}/rest/api`), userBuilder }))
  const requestHandler = serve('/grpc', 'GRPC', `127.0.0.1:${grpcPort}`)
  grpcServer.addService(A2AService, grpcService({ requestHandler, userBuilder: GrpcUserBuilder.noAuthentication }))
  process.stdout.write(`READY ${JSON.stringify({ url, version: '1.0' })}\n`)
})

// The parent holds our standard input: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume()
