/**
 * A LocalModel behind an API like OpenAI's: POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /healthz.
 *
 *     HTTP ──▶ turns (some run, some wait, the rest is refused) ──▶ model ──▶ HTTP
 *
 *   [bounded]    `parallel` prompts run and `maxWaiting` wait; a request that has no room for all of its own gets 429
 *   [gone]       what a client asked for ends when the client goes away
 *   [drain]      closing refuses what is new and what waits with 503, and lets what runs finish for `drainMs`
 *   [rebinding]  on a loopback address only loopback names are answered, and what a page of a browser may read never is: there is no key
 */
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { InvalidRequestError } from '../../ports/errors.ts'
import { chatBody, completionBody, type SharedBody } from './bodies.ts'
import type { CompleteOptions, LocalCompletion, LocalModel } from './local-model.ts'
import { BusyError, ClientGoneError, errorHandler, sendRefusal } from './openai-errors.ts'
import { openTurns, type Turns } from './turns.ts'

export interface ServerOptions {
  /** The address that the caller binds. */
  readonly bindHost: string
  /** Requests get 503 until it is there. Whoever opened it closes it, after the server. */
  readonly model: Promise<LocalModel>
  /** Prompts that wait, at most; WAITING_PER_SEQUENCE for each that runs if absent. */
  readonly maxWaiting?: number
  /** How long answers in progress may go on when the server closes. */
  readonly drainMs?: number
  /** Is told of what went wrong here. */
  readonly warn: (line: string) => void
  /** Unix epoch, ms. */
  readonly now?: () => number
  readonly newId?: () => string
}

const WAITING_PER_SEQUENCE = 16
const BODY_LIMIT_BYTES = 1024 * 1024
/** To send a request in. */
const REQUEST_TIMEOUT_MS = 30_000
const LOADING_SECONDS = 5
const BUSY_SECONDS = 2
const DRAIN_MS = 5_000
/** Answers are on their way by then; connections that are left are held by clients without need. */
const LINGER_MS = 500
/** OpenAI's, of /v1/completions. */
const DEFAULT_COMPLETION_TOKENS = 16
const LOOPBACK = ['localhost', '127.0.0.1', '::1']

interface Ready {
  readonly model: LocalModel
  readonly turns: Turns
}

/** @returns a server that is ready to listen. */
export function buildLocalModelServer(options: ServerOptions): FastifyInstance {
  const { warn, drainMs = DRAIN_MS, now = Date.now, newId = randomUUID } = options
  const app = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    return503OnClosing: false, // in OpenAI's shape below
  }).withTypeProvider<ZodTypeProvider>()
  const stopping = new AbortController()
  const answering = new Set<Promise<unknown>>()
  let ready: Ready | undefined
  let closing = false
  let cut: NodeJS.Timeout | undefined
  options.model.then(
    (model) => {
      const { maxWaiting = model.parallel * WAITING_PER_SEQUENCE } = options
      ready = { model, turns: openTurns(model.parallel, maxWaiting) }
    },
    () => {}, // the caller ends
  )

  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(validatorCompiler)
  app.setErrorHandler(errorHandler((error) => warn(error.stack ?? error.message)))
  app.setNotFoundHandler((request, reply) => {
    const message = `Nothing answers ${request.method} here; there are /v1/chat/completions, /v1/completions, /v1/models and /healthz`
    return sendRefusal(reply, { status: 404, code: 'not_found', message })
  })

  const loopback = isLoopback(options.bindHost)
  app.addHook('onRequest', async ({ headers }, reply) => {
    const isOurs = !loopback || LOOPBACK.includes(hostname(headers.host))
    if (isOurs && headers.origin === undefined) return
    // [rebinding]
    const message = 'Answered are programs that name this address, not pages of a browser'
    return sendRefusal(reply, { status: 403, code: 'unknown_caller', message })
  })
  app.addHook('preClose', async () => {
    closing = true
    ready?.turns.refuse(isClosing()) // [drain]
    const late = setTimeout(() => stopping.abort(isClosing()), drainMs)
    await Promise.allSettled(answering)
    clearTimeout(late)
    cut = setTimeout(() => app.server.closeAllConnections(), LINGER_MS)
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close') // else closing waits until the client lets go of it
  })
  app.addHook('onClose', async () => clearTimeout(cut))

  function use(): Ready {
    if (closing) throw isClosing()
    if (ready === undefined) throw new BusyError('model_loading', 'The model is being loaded', LOADING_SECONDS)
    return ready
  }

  /** Before any of them is looked at. [bounded] */
  function admit(prompts: number): Ready {
    const { model, turns } = use()
    if (prompts > turns.capacity) {
      const message = `A request has at most ${turns.capacity} prompts, and this one has ${prompts}`
      throw new InvalidRequestError('too_many_prompts', message)
    }
    if (prompts > turns.room) {
      const message = `${turns.running} prompts run and ${turns.waiting} wait: there is no room for ${prompts} more`
      throw new BusyError('rate_limit_exceeded', message, BUSY_SECONDS)
    }
    return { model, turns }
  }

  /** One completion a prompt, in order. */
  async function complete(
    prompts: readonly (readonly number[])[],
    how: CompleteOptions,
    reply: FastifyReply,
  ): Promise<readonly LocalCompletion[]> {
    const { model, turns } = use()
    for (const { length } of prompts) fits(length, model.contextTokens)
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, stopping.signal])
    const gone = () => over.abort(new ClientGoneError('The client went away'))
    reply.raw.once('close', gone) // [gone]
    const all = Promise.all(prompts.map((prompt) => turns.take(() => model.complete(prompt, how, signal), signal)))
    answering.add(all)
    try {
      return await all
    } catch (error) {
      over.abort(error) // the others of the same request
      throw error
    } finally {
      answering.delete(all)
      reply.raw.removeListener('close', gone)
    }
  }

  app.post('/v1/chat/completions', { schema: { body: chatBody } }, async ({ body }, reply) => {
    const { model } = admit(1)
    const messages = body.messages.map(({ role, content }) => ({
      role: role === 'developer' ? ('system' as const) : role,
      content,
    }))
    const prompt = model.tokenizeChat(messages)
    const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? undefined
    const completions = await complete([prompt], { ...samplingOf(body), maxTokens }, reply)
    return {
      id: `chatcmpl-${newId()}`,
      object: 'chat.completion',
      created: Math.floor(now() / 1_000),
      model: model.name,
      choices: completions.map(({ text: content, finish }, index) => ({
        index,
        message: { role: 'assistant', content, refusal: null },
        logprobs: null,
        finish_reason: finish,
      })),
      usage: usageOf([prompt], completions),
    }
  })

  app.post('/v1/completions', { schema: { body: completionBody } }, async ({ body }, reply) => {
    const { model } = admit(body.prompt.length)
    const prompts = body.prompt.map((text) => model.tokenize(text))
    const maxTokens = body.max_tokens ?? DEFAULT_COMPLETION_TOKENS
    const completions = await complete(prompts, { ...samplingOf(body), maxTokens }, reply)
    return {
      id: `cmpl-${newId()}`,
      object: 'text_completion',
      created: Math.floor(now() / 1_000),
      model: model.name,
      choices: completions.map(({ text, finish }, index) => ({ index, text, logprobs: null, finish_reason: finish })),
      usage: usageOf(prompts, completions),
    }
  })

  app.get('/v1/models', async () => {
    const { model } = use()
    const data = [{ id: model.name, object: 'model', created: 0, owned_by: 'local' }]
    return { object: 'list', data }
  })

  app.get('/healthz', async () => {
    const { model, turns } = use()
    const { name, contextTokens, parallel } = model
    return { status: 'ok', model: name, contextTokens, parallel, running: turns.running, waiting: turns.waiting }
  })
  return app as unknown as FastifyInstance
}

export const isLoopback = (host: string): boolean => LOOPBACK.includes(host.replace(/^\[|\]$/g, ''))

function samplingOf({ temperature, top_p, seed, stop }: SharedBody): Omit<CompleteOptions, 'maxTokens'> {
  return {
    temperature: temperature ?? 1,
    topP: top_p ?? 1,
    seed: seed === undefined || seed === null ? undefined : seed >>> 0,
    stop: typeof stop === 'string' ? [stop] : (stop ?? []),
  }
}

function usageOf(prompts: readonly (readonly number[])[], completions: readonly LocalCompletion[]) {
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0)
  const prompt = sum(prompts.map(({ length }) => length))
  const completion = sum(completions.map(({ tokens }) => tokens))
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum(completions.map(({ cachedTokens }) => cachedTokens)) },
  }
}

/** @throws InvalidRequestError where no token of an answer has room. */
function fits(promptTokens: number, contextTokens: number): void {
  if (promptTokens === 0) throw new InvalidRequestError('empty_prompt', 'The prompt has no tokens')
  if (promptTokens < contextTokens) return
  const message = `The prompt has ${promptTokens} tokens, and ${contextTokens} hold prompt and answer together. Shorten it, or start with a larger --context`
  throw new InvalidRequestError('context_length_exceeded', message)
}

const isClosing = () => new BusyError('server_closing', 'The server is closing', LOADING_SECONDS)

/** @returns the name in a Host header without its port, lower case. */
function hostname(host = ''): string {
  return host
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
}
