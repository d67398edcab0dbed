// A 1.0 JSON-RPC agent on the JavaScript SDK. What it does is chosen by the
// text of the message; see doc.go for the list.
import { randomUUID } from 'node:crypto'
import express from 'express'
import { AgentCard, Role, TaskState } from '@a2a-js/sdk'
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { UserBuilder, agentCardHandler, jsonRpcHandler } from '@a2a-js/sdk/server/express'

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
    const publishArtifact = (artifactId, chunk, append, lastChunk) =>
      bus.publish(
        AgentEvent.artifactUpdate({
          taskId,
          contextId,
          artifact: {
            artifactId,
            name: 'answer',
            description: '',
            parts: [textPart(chunk)],
            metadata: undefined,
            extensions: [],
          },
          append,
          lastChunk,
          metadata: undefined,
        }),
      )

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
app.post('/a2a/jsonrpc', (req, _res, next) => {
  headers = req.headersDistinct
  next()
})

// The address is part of the card, so the port comes first.
const port = Number(process.argv[2] ?? 0)
const server = app.listen(port, '127.0.0.1', (err) => {
  if (err) throw err
  const url = `http://127.0.0.1:${server.address().port}`
  const card = AgentCard.fromJSON({
    name: 'peer-js',
    description: 'Echoes, streams and waits, as it is told.',
    version: '1.0.0',
    supportedInterfaces: [{ url: `${url}/a2a/jsonrpc`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: true, pushNotifications: false },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['test'] }],
  })
  const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor())
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }))
  app.use('/a2a/jsonrpc', jsonRpcHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication }))
  process.stdout.write(`READY ${JSON.stringify({ url, version: '1.0' })}\n`)
})

// The parent holds our standard input: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume()
