/**
 * TextGenerator by any OpenAI-compatible endpoint: /chat/completions for models that follow instructions, /completions for
 * base models, several prompts a request there.
 *
 *   complete ─▶ waiting prompts ─▶ queue (concurrency, rate) ─▶ breaker ─▶ budget ─▶ request ─▶ checked answer
 *
 * Invariants
 *   [cap]      the worst case of each attempt is set aside before it is sent; an attempt that the endpoint may have worked
 *              on without telling (cut off, timed out, answered with nonsense) stays counted in full
 *   [away]     after BREAKS_AFTER failures in a row requests fail at once; now and then one is let through to see
 *   [busy]     429 holds back all requests for as long as the endpoint asks, and fails them at once where that is long
 *   [bounded]  answers end by `timeoutMs` and ANSWER_BYTES, body included; redirects are not followed, so that the key
 *              goes nowhere else
 */
import { BrokenCircuitError, ConsecutiveBreaker, circuitBreaker, ExponentialBackoff, handleWhen } from 'cockatiel'
import OpenAI, { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from 'openai'
import PQueue from 'p-queue'
import pRetry from 'p-retry'
import { z } from 'zod'
import { type Completion, GeneratorError, type Prompt, type TextGenerator } from '../../ports/text-generator.ts'
import type { Budget } from './budget.ts'

export interface EndpointOptions {
  /** Such as https://host/v1. */
  readonly url: string
  readonly model: string
  readonly kind: 'instruct' | 'base'
  readonly apiKey?: string | undefined
  readonly temperature: number
  /** Tokens of an answer at most. */
  readonly maxTokens: number
  /** Requests under way at most. */
  readonly concurrency: number
  readonly requestsPerMinute?: number | undefined
  /** Of one attempt. */
  readonly timeoutMs: number
  /** Attempts after the first, with exponential backoff and jitter. */
  readonly retries: number
  /** Before the second attempt; doubles. */
  readonly retryDelayMs?: number
  /** After failures in a row, before it is tried whether it is back; doubles. */
  readonly lookAgainMs?: number
  /** Prompts of one request at most, for base models. */
  readonly promptsPerRequest: number
  readonly budget: Budget
  readonly observe?: EndpointObserver
}

export interface EndpointObserver {
  request(outcome: 'ok' | GeneratorError['code'], seconds: number): void
  usage(usage: { inputTokens: number; outputTokens: number; usd: number }): void
  /** Whether requests are let through. */
  open(isOpen: boolean): void
}

const BREAKS_AFTER = 5
/** From one look whether the endpoint is back to the next, at most. */
const LOOK_AGAIN_MS = 30_000
/** A wait that 429 asks for is waited out up to this; a longer one fails. */
const MOST_BUSY_MS = 10_000
const ANSWER_BYTES = 1024 * 1024
/** Tokens that a chat's template adds, at most. */
const TEMPLATE_TOKENS = 64

interface Waiting {
  readonly prompt: Prompt
  readonly seed: number
  readonly signal: AbortSignal
  readonly resolve: (completion: Completion) => void
  readonly reject: (error: unknown) => void
}

const usageSchema = z
  .object({ prompt_tokens: z.int().nonnegative(), completion_tokens: z.int().nonnegative() })
  .nullish()
const chatAnswer = z.object({
  choices: z
    .array(z.object({ message: z.object({ content: z.string().nullable() }), finish_reason: z.string().nullish() }))
    .min(1),
  usage: usageSchema,
})
const textAnswer = z.object({
  choices: z
    .array(z.object({ text: z.string(), index: z.int().nonnegative().optional(), finish_reason: z.string().nullish() }))
    .min(1),
  usage: usageSchema,
})

interface Answer {
  readonly texts: readonly { readonly text: string; readonly truncated: boolean }[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number } | undefined
}

interface Answered {
  readonly answer: Answer
  /** US dollars, once they are booked. */
  readonly settled: Promise<number>
}

export function openEndpoint(options: EndpointOptions): TextGenerator {
  const { model, kind, temperature, maxTokens, budget, observe } = options
  const client = new OpenAI({
    baseURL: options.url,
    apiKey: options.apiKey ?? 'none',
    organization: null,
    project: null,
    maxRetries: 0,
    timeout: options.timeoutMs,
    fetch: boundedFetch,
    logLevel: 'off',
  })
  const queue = new PQueue({
    concurrency: options.concurrency,
    ...(options.requestsPerMinute === undefined
      ? {}
      : { intervalCap: options.requestsPerMinute, interval: 60_000, strict: true }),
  })
  const breaker = circuitBreaker(
    handleWhen((error) => error instanceof GeneratorError && !['llm-busy', 'llm-budget'].includes(error.code)),
    {
      breaker: new ConsecutiveBreaker(BREAKS_AFTER),
      halfOpenAfter: new ExponentialBackoff({ initialDelay: options.lookAgainMs ?? 1_000, maxDelay: LOOK_AGAIN_MS }),
    },
  )
  breaker.onBreak(() => observe?.open(false))
  breaker.onReset(() => observe?.open(true))
  observe?.open(true)
  const most = kind === 'base' ? options.promptsPerRequest : 1
  const waiting: Waiting[] = []
  let requestsQueued = 0
  let busyUntil = 0
  let startsAgain: NodeJS.Timeout | undefined
  let closed = false

  /** One more request where those that are queued leave prompts over. */
  function enqueue(one: Waiting): void {
    waiting.push(one)
    if (requestsQueued * most >= waiting.length) return
    requestsQueued++
    void queue.add(async () => {
      requestsQueued--
      const batch = waiting.splice(0, most).filter(({ signal, reject }) => {
        if (signal.aborted) reject(signal.reason)
        return !signal.aborted
      })
      if (batch.length > 0) await send(batch)
    })
  }

  async function send(batch: readonly Waiting[]): Promise<void> {
    // Of several prompts one that is given up leaves the others.
    const signal = batch.length === 1 ? batch[0]!.signal : new AbortController().signal
    try {
      const answered = await breaker.execute(() => attempt(batch, signal), signal)
      void tell(batch, answered) // the next request does not wait for the books
    } catch (error) {
      const told =
        error instanceof BrokenCircuitError
          ? new GeneratorError('llm-away', `The endpoint of ${model} failed ${BREAKS_AFTER} times in a row`)
          : error
      for (const { reject } of batch) reject(told)
    }
  }

  async function tell(batch: readonly Waiting[], { answer, settled }: Answered): Promise<void> {
    try {
      const usd = await settled
      const share = (value = 0) => value / batch.length
      for (const [i, { resolve }] of batch.entries()) {
        resolve({
          ...answer.texts[i]!,
          inputTokens: Math.round(share(answer.usage?.prompt_tokens)),
          outputTokens: Math.round(share(answer.usage?.completion_tokens)),
          usd: share(usd),
          cached: false,
        })
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  async function attempt(batch: readonly Waiting[], signal: AbortSignal): Promise<Answered> {
    const wait = busyUntil - Date.now()
    if (wait > MOST_BUSY_MS) throw busy(wait)
    const worst = {
      inputTokens: batch.reduce((sum, { prompt }) => sum + mostTokens(prompt), 0),
      outputTokens: maxTokens * batch.length,
    }
    const reservation = await budget.reserve(worst) // [cap]
    const startedAt = performance.now()
    const seconds = () => (performance.now() - startedAt) / 1_000
    try {
      const answer = await ask(batch, signal)
      const used = {
        inputTokens: answer.usage?.prompt_tokens ?? worst.inputTokens,
        outputTokens: answer.usage?.completion_tokens ?? worst.outputTokens,
      }
      observe?.request('ok', seconds())
      const settled = reservation.settle(used)
      settled.then((usd) => observe?.usage({ ...used, usd })).catch(() => {}) // who asked is told
      return { answer, settled }
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      const error = generatorError(cause, model)
      if (isFree(error)) await reservation.settle({ inputTokens: 0, outputTokens: 0 })
      else observe?.usage({ ...worst, usd: reservation.usd })
      observe?.request(error.code, seconds())
      if (error.code === 'llm-busy') holdBack(error.retryAfterMs ?? 1_000) // [busy]
      throw error
    }
  }

  async function ask(batch: readonly Waiting[], signal: AbortSignal): Promise<Answer> {
    const { prompt, seed } = batch[0]!
    const common = { model, temperature, max_tokens: maxTokens, seed, stop: [...prompt.stop] }
    if (kind === 'base') {
      const prompts = batch.map((one) => [one.prompt.system, one.prompt.user].filter(Boolean).join('\n\n'))
      const given = prompts.length === 1 ? prompts[0]! : prompts
      const { choices, usage } = checked(
        textAnswer,
        await client.completions.create({ ...common, prompt: given }, { signal }),
      )
      const byIndex = choices.map((choice, i) => ({ ...choice, at: choice.index ?? i })).sort((a, b) => a.at - b.at)
      if (byIndex.length !== batch.length || byIndex.some(({ at }, i) => at !== i)) {
        throw new GeneratorError('llm-garbage', `${model} answered ${choices.length} texts for ${batch.length} prompts`)
      }
      return { texts: byIndex.map(textOf), usage: usage ?? undefined }
    }
    const messages = [
      ...(prompt.system === undefined ? [] : [{ role: 'system' as const, content: prompt.system }]),
      { role: 'user' as const, content: prompt.user },
    ]
    const { choices, usage } = checked(
      chatAnswer,
      await client.chat.completions.create({ ...common, messages }, { signal }),
    )
    const [first] = choices
    return {
      texts: [textOf({ text: first!.message.content ?? '', finish_reason: first!.finish_reason })],
      usage: usage ?? undefined,
    }
  }

  /** Short waits are waited out by all; long ones fail whatever is asked for meanwhile. */
  function holdBack(ms: number): void {
    busyUntil = Math.max(busyUntil, Date.now() + ms)
    if (ms > MOST_BUSY_MS || closed) return
    queue.pause()
    clearTimeout(startsAgain)
    startsAgain = setTimeout(() => queue.start(), Math.max(1, busyUntil - Date.now()))
  }

  function busy(wait: number): GeneratorError {
    const message = `The endpoint of ${model} asked to be left alone for ${Math.ceil(wait / 1_000)} s more`
    return new GeneratorError('llm-busy', message, { retryAfterMs: wait })
  }

  const once = (prompt: Prompt, seed: number, signal: AbortSignal) =>
    new Promise<Completion>((resolve, reject) => {
      const wait = busyUntil - Date.now()
      if (closed) reject(new GeneratorError('llm-away', 'The process ends'))
      else if (wait > MOST_BUSY_MS) reject(busy(wait))
      else enqueue({ prompt, seed, signal, resolve, reject })
    })

  return {
    model,
    kind,
    temperature,
    async complete(prompt, { seed, signal: given }) {
      given.throwIfAborted()
      // Many requests of one batch share its signal: each has one of its own that follows it.
      const signal = AbortSignal.any([given])
      return pRetry(() => once(prompt, seed, signal), {
        retries: options.retries,
        minTimeout: options.retryDelayMs ?? 500,
        maxTimeout: MOST_BUSY_MS,
        randomize: true,
        signal,
        shouldRetry: ({ error }) => !closed && error instanceof GeneratorError && isWorthRetry(error),
      }).catch((error: unknown) => {
        signal.throwIfAborted()
        throw error
      })
    },
    async close() {
      closed = true
      clearTimeout(startsAgain)
      queue.start()
      for (const { reject } of waiting.splice(0)) reject(new GeneratorError('llm-away', 'The process ends'))
      queue.clear()
    },
  }
}

function isWorthRetry({ code, retryAfterMs = 0 }: GeneratorError): boolean {
  if (code === 'llm-refused' || code === 'llm-budget') return false
  return retryAfterMs <= MOST_BUSY_MS
}

/** Attempts that cannot have cost anything: refused before the model worked. */
function isFree({ code }: GeneratorError): boolean {
  return ['llm-refused', 'llm-busy', 'llm-failed', 'llm-budget'].includes(code)
}

/** A byte-level vocabulary has no token of less than a byte. */
function mostTokens({ system = '', user }: Prompt): number {
  return Buffer.byteLength(system) + Buffer.byteLength(user) + TEMPLATE_TOKENS
}

function textOf({ text, finish_reason }: { text: string; finish_reason?: string | null | undefined }) {
  return { text, truncated: finish_reason === 'length' }
}

function checked<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  const first = parsed.error.issues[0]
  const message = `The endpoint answered no completion: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`
  throw new GeneratorError('llm-garbage', message)
}

/** What went wrong, by its class; the message never holds the key or the prompt. */
function generatorError(cause: unknown, model: string): GeneratorError {
  if (cause instanceof GeneratorError) return cause
  if (cause instanceof APIConnectionTimeoutError || cause instanceof APIUserAbortError) {
    return new GeneratorError('llm-slow', `The endpoint of ${model} did not answer in time`, { cause })
  }
  if (cause instanceof APIConnectionError) {
    if (cause.cause instanceof GeneratorError) return cause.cause
    const reason = cause.cause instanceof Error ? cause.cause.message : cause.message
    return new GeneratorError('llm-away', `The endpoint of ${model} cannot be reached: ${reason}`, { cause })
  }
  if (cause instanceof APIError && cause.status !== undefined) {
    const { status } = cause
    if (status === 429 || status === 503) {
      const retryAfterMs = retryAfter(cause.headers) ?? (status === 429 ? 1_000 : undefined)
      const code = status === 429 ? 'llm-busy' : 'llm-failed'
      const message = `The endpoint of ${model} answered ${status}`
      return new GeneratorError(code, message, { cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
    }
    if (status === 504 || status === 408) {
      return new GeneratorError('llm-slow', `The endpoint of ${model} answered ${status}`, { cause })
    }
    if (status >= 500 || status === 409) {
      return new GeneratorError('llm-failed', `The endpoint of ${model} answered ${status}`, { cause })
    }
    const message = `The endpoint refuses requests for ${model} with ${status}: look at llmUrl, llmModel, llmKind and the key`
    return new GeneratorError('llm-refused', message, { cause })
  }
  return new GeneratorError('llm-garbage', `The endpoint of ${model} answered what is no JSON`, { cause })
}

/** Seconds or a date, as HTTP has it. */
function retryAfter(headers: Headers | undefined): number | undefined {
  const header = headers?.get('retry-after') ?? null
  if (header === null) return undefined
  const ms = /^\d+(\.\d+)?$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}

/** [bounded] The body is read here, so that the client's own timeout covers it. */
async function boundedFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, { ...init, redirect: 'error' })
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > ANSWER_BYTES)
      throw new GeneratorError('llm-garbage', `The endpoint sends more than ${ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  const { status, statusText, headers } = response
  const empty = status === 204 || status === 304
  return new Response(empty ? null : Buffer.concat(chunks), { status, statusText, headers })
}
