// A 1.0 agent that takes nothing without an identity token of a gateway, on every path. It
// verifies tokens as its own library does, with the keys that the gateway publishes, and
// answers with what they say.
// usage: node verifying.mjs JWKS-URL ISSUER AUDIENCE
import { randomUUID } from 'node:crypto'
import express from 'express'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { AgentCard, Role, TaskState } from '@a2a-js/sdk'
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { UserBuilder, agentCardHandler, jsonRpcHandler } from '@a2a-js/sdk/server/express'

const [jwks, issuer, audience] = process.argv.slice(2)
const keys = createRemoteJWKSet(new URL(jwks))

// What each verified request was: its path, the header of its token and its claims.
const seen = []
const refused = []
let last

const verify = async (req, res, next) => {
  const [scheme, token] = (req.headers.authorization ?? '').split(' ')
  try {
    if (scheme !== 'Bearer') throw new Error('no bearer token')
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms: ['ES256'],
      typ: 'JWT',
      requiredClaims: ['sub', 'exp', 'iat', 'nbf', 'jti'],
      maxTokenAge: '5 minutes',
    })
    last = payload
    seen.push({ path: req.path, header: protectedHeader, claims: payload })
    next()
  } catch (err) {
    refused.push(`${req.path}: ${err.message}`)
    res.status(401).end()
  }
}

class Executor {
  execute = async (ctx, bus) => {
    bus.publish(
      AgentEvent.task({
        id: ctx.taskId,
        contextId: ctx.contextId,
        status: {
          state: TaskState.TASK_STATE_COMPLETED,
          message: {
            messageId: randomUUID(),
            contextId: ctx.contextId,
            taskId: ctx.taskId,
            role: Role.ROLE_AGENT,
            parts: [{ content: { $case: 'text', value: `called by ${last.sub}` }, metadata: undefined, filename: '', mediaType: '' }],
            metadata: undefined,
            extensions: [],
            referenceTaskIds: [],
          },
          timestamp: new Date().toISOString(),
        },
        artifacts: [],
        history: [ctx.userMessage],
        metadata: undefined,
      }),
    )
    bus.finished()
  }

  cancelTask = async () => {}
}

const app = express()
app.get('/__seen', (_req, res) => res.json({ seen, refused }))
app.use(verify)
const server = app.listen(0, '127.0.0.1', (err) => {
  if (err) throw err
  const url = `http://127.0.0.1:${server.address().port}`
  const card = AgentCard.fromJSON({
    name: 'verifying',
    description: 'Says who called.',
    version: '1.0.0',
    supportedInterfaces: [{ url: `${url}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: true, pushNotifications: false },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'who', name: 'Who', description: 'Says who called.', tags: ['test'] }],
  })
  const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor())
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }))
  app.use('/a2a', jsonRpcHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication }))
  process.stdout.write(`READY ${JSON.stringify({ url, version: '1.0' })}\n`)
})

// The parent holds our standard input: when it is gone, so are we.
process.stdin.on('end', () => process.exit(0)).resume()
