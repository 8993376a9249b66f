/**
 * TextGenerator by any OpenAI-compatible endpoint: /chat/completions for models that follow instructions, /completions for
 * base models, several prompts a request there.
 *
 *   complete ─▶ breaker, budget ─▶ waiting prompts ─▶ queue (concurrency, rate) ─▶ request ─▶ checked answer
 *
 * Invariants
 *   [cap]      the worst case of each attempt is set aside before it waits for its turn; an attempt that the endpoint may
 *              have worked on without telling (cut off, timed out, 5xx, nonsense) stays counted in full
 *   [away]     after BREAKS_AFTER failures in a row requests fail at once, those that wait too, with the last failure's
 *              code; now and then one is let through to see
 *   [busy]     429 holds back all requests for as long as the endpoint asks, and fails them at once where that is long
 *   [rate]     only what is sent counts against the rate: whoever is refused, held back or gives up does so before
 *   [bounded]  answers end by `timeoutMs` and ANSWER_BYTES, body included; a text goes on for MOST_CHARACTERS; redirects
 *              are not followed, so that the key goes nowhere else
 */
import OpenAI from 'openai'
import PQueue from 'p-queue'
import pRetry from 'p-retry'
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'
import { type Completion, GeneratorError, type Prompt, type TextGenerator } from '../../ports/text-generator.ts'
import { Breaker } from './breaker.ts'
import type { Budget, Reservation, Tokens } from './budget.ts'
import { failureOf } from './endpoint-errors.ts'

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
  /** Prompts of one request at most, for base models. Such requests carry no seed. */
  readonly promptsPerRequest: number
  readonly budget: Budget
  readonly observe?: EndpointObserver
}

export interface EndpointObserver {
  request(outcome: 'ok' | GeneratorError['code'], seconds: number): void
  usage(usage: Tokens & { usd: number }): void
  /** Whether requests are let through, and what came before they no longer are. */
  open(isOpen: boolean, cause?: Error): void
}

const BREAKS_AFTER = 5
/** From one look whether the endpoint is back to the next, at most. */
const LOOK_AGAIN_MS = 30_000
/** A wait that 429 asks for is waited out up to this; a longer one fails. */
const MOST_BUSY_MS = 10_000
const ANSWER_BYTES = 1024 * 1024
/** No description is longer: whatever the endpoint thinks of `max_tokens`. */
const MOST_CHARACTERS = 8_000
/** Tokens that a chat's template adds, at most. */
const TEMPLATE_TOKENS = 64

interface Waiting {
  readonly prompt: Prompt
  readonly seed: number
  readonly signal: AbortSignal
  readonly worst: Tokens
  readonly reservation: Reservation
  readonly resolve: (completion: Completion) => void
  readonly reject: (error: unknown) => void
}

const usageSchema = z
  .object({ prompt_tokens: z.int().nonnegative(), completion_tokens: z.int().nonnegative() })
  .nullish()
const chatAnswer = z.object({
  choices: z.array(
    z.object({ message: z.object({ content: z.string().nullish() }), finish_reason: z.string().nullish() }),
  ),
  usage: usageSchema,
})
const textAnswer = z.object({
  choices: z.array(
    z.object({ text: z.string(), index: z.int().nonnegative().optional(), finish_reason: z.string().nullish() }),
  ),
  usage: usageSchema,
})

interface Answer {
  readonly texts: readonly { readonly text: string; readonly truncated: boolean }[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number } | undefined
}

/** @throws SetupError 'bad-config' for a key that no header can carry. */
export function openEndpoint(options: EndpointOptions): TextGenerator {
  const { model, kind, temperature, maxTokens, budget, observe } = options
  const client = new OpenAI({
    baseURL: options.url,
    apiKey: checkedKey(options.apiKey),
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
  const breaker = new Breaker<GeneratorError>({
    after: BREAKS_AFTER,
    lookAgainMs: options.lookAgainMs ?? 1_000,
    longestMs: LOOK_AGAIN_MS,
    now: Date.now,
    onChange(isOpen, cause) {
      if (isOpen) dropWaiting(open(cause as GeneratorError)) // [away]
      observe?.open(!isOpen, cause)
    },
  })
  observe?.open(true)
  const most = kind === 'base' ? options.promptsPerRequest : 1
  const waiting: Waiting[] = []
  let requestsQueued = 0
  let busyUntil = 0
  let startsAgain: NodeJS.Timeout | undefined
  let answers = 0
  let closed = false

  async function once(prompt: Prompt, seed: number, signal: AbortSignal): Promise<Completion> {
    if (closed) throw ended()
    holdBack()
    if (busyFor() > MOST_BUSY_MS) throw busy()
    const cause = breaker.refuses()
    if (cause !== undefined) throw open(cause)
    const worst = { inputTokens: mostTokens(prompt), outputTokens: maxTokens }
    const reservation = await budget.reserve(worst).catch((error: unknown) => {
      breaker.toldNothing()
      throw error
    }) // [cap]
    return new Promise((resolve, reject) => enqueue({ prompt, seed, signal, worst, reservation, resolve, reject }))
  }

  /** One more request where those that are queued leave prompts over. */
  function enqueue(one: Waiting): void {
    const giveUp = () => {
      const at = waiting.indexOf(one)
      if (at < 0) return // it is under way: its request ends with the signal
      waiting.splice(at, 1)
      drop([one], one.signal.reason)
    }
    if (one.signal.aborted || closed) {
      drop([one], one.signal.aborted ? one.signal.reason : ended())
      return
    }
    one.signal.addEventListener('abort', giveUp, { once: true })
    waiting.push(one)
    if (requestsQueued * most >= waiting.length) return
    requestsQueued++
    void queue.add(async () => {
      requestsQueued--
      const batch = waiting.splice(0, most)
      if (batch.length > 0) await send(batch)
    })
  }

  /** Of what was never sent. */
  function drop(some: readonly Waiting[], reason: unknown): void {
    breaker.toldNothing()
    for (const one of some) void free(one, reason)
  }

  async function free({ reservation, reject }: Waiting, reason: unknown): Promise<void> {
    await reservation.settle({ inputTokens: 0, outputTokens: 0 }).catch(() => {}) // then it stays counted
    reject(reason)
  }

  function dropWaiting(reason: GeneratorError): void {
    queue.clear()
    requestsQueued = 0
    drop(waiting.splice(0), reason)
  }

  async function send(batch: readonly Waiting[]): Promise<void> {
    if (busyFor() > 0) return drop(batch, busy())
    const startedAt = performance.now()
    const seconds = () => (performance.now() - startedAt) / 1_000
    const signal = untilAllGiveUp(batch)
    try {
      const answer = await ask(batch, signal)
      answers++
      breaker.succeeded()
      observe?.request('ok', seconds())
      for (const [i, one] of batch.entries()) void book(one, answer.texts[i]!, shareOf(answer, batch.length))
    } catch (cause) {
      if (signal.aborted) {
        breaker.toldNothing() // what was sent stays counted
        for (const { reject } of batch) reject(signal.reason)
        return
      }
      const { error, isFree, mayBeOfPrompt } = failureOf(cause, model)
      if (mayBeOfPrompt && batch.length > 1) {
        for (const one of batch) await send([one]) // which of them it is
        return
      }
      // Who answered others refuses this prompt alone.
      const ofPrompt = (mayBeOfPrompt || error.code === 'llm-rejected') && answers > 0
      const code = ofPrompt ? 'llm-rejected' : error.code === 'llm-rejected' ? 'llm-garbage' : error.code
      const told = code === error.code ? error : new GeneratorError(code, error.message, { cause: error.cause })
      observe?.request(told.code, seconds())
      if (told.code === 'llm-busy') {
        busyUntil = Math.max(busyUntil, Date.now() + (told.retryAfterMs ?? 0))
        holdBack() // [busy]
      }
      for (const one of batch) {
        if (isFree) {
          void free(one, told)
          continue
        }
        observe?.usage({ ...one.worst, usd: one.reservation.usd })
        one.reject(told)
      }
      if (told.code === 'llm-busy' || ofPrompt) breaker.toldNothing()
      else breaker.failed(told)
    }
  }

  /** Who asked does not wait for the next request, nor the next request for the books. */
  async function book(one: Waiting, text: Answer['texts'][number], used: Tokens | undefined): Promise<void> {
    const tokens = used ?? one.worst
    const usd = await one.reservation.settle(tokens).catch(() => one.reservation.usd)
    observe?.usage({ ...tokens, usd })
    one.resolve({ ...text, ...tokens, usd, cached: false })
  }

  async function ask(batch: readonly Waiting[], signal: AbortSignal): Promise<Answer> {
    const { prompt, seed } = batch[0]!
    const own = batch.length === 1 ? { seed } : {}
    const common = { model, temperature, max_tokens: maxTokens, stop: [...prompt.stop], ...own }
    if (kind === 'base') {
      const prompts = batch.map((one) => [one.prompt.system, one.prompt.user].filter(Boolean).join('\n\n'))
      const given = prompts.length === 1 ? prompts[0]! : prompts
      const { choices, usage } = checked(
        textAnswer,
        await client.completions.create({ ...common, prompt: given }, { signal }),
      )
      const byIndex = choices.map((choice, i) => ({ ...choice, at: choice.index ?? i })).sort((a, b) => a.at - b.at)
      if (byIndex.length !== batch.length || byIndex.some(({ at }, i) => at !== i)) {
        const message = `${model} answered ${choices.length} texts for ${batch.length} prompts`
        throw new GeneratorError(batch.length === 1 ? 'llm-rejected' : 'llm-garbage', message)
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
    if (first === undefined) throw new GeneratorError('llm-rejected', `${model} answered no text`)
    const text = { text: first.message.content ?? '', finish_reason: first.finish_reason }
    return { texts: [textOf(text)], usage: usage ?? undefined }
  }

  const busyFor = () => busyUntil - Date.now()

  /** Short waits are waited out by all; during long ones whatever is asked for fails. [busy] */
  function holdBack(): void {
    const wait = busyFor()
    if (wait <= 0 || closed) return
    if (wait > MOST_BUSY_MS) {
      dropWaiting(busy())
      return
    }
    queue.pause()
    clearTimeout(startsAgain)
    startsAgain = setTimeout(() => queue.start(), wait + 1)
  }

  function busy(): GeneratorError {
    const wait = Math.max(1, busyFor())
    const message = `The endpoint of ${model} asked to be left alone for ${Math.ceil(wait / 1_000)} s more`
    return new GeneratorError('llm-busy', message, { retryAfterMs: wait })
  }

  function open(cause: GeneratorError): GeneratorError {
    const message = `${cause.message} (${BREAKS_AFTER} failures in a row or more)`
    return new OpenError(cause.code, message, { cause: cause.cause })
  }

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
      dropWaiting(ended())
    },
  }
}

/** Nothing was asked: the endpoint has failed too often. */
class OpenError extends GeneratorError {}

const ended = () => new GeneratorError('llm-away', 'The process ends')

function isWorthRetry(error: GeneratorError): boolean {
  if (error instanceof OpenError || ['llm-refused', 'llm-rejected', 'llm-budget'].includes(error.code)) return false
  return (error.retryAfterMs ?? 0) <= MOST_BUSY_MS
}

function checkedKey(key = 'none'): string {
  if (/^[\x21-\x7e]+$/.test(key)) return key
  throw new SetupError('bad-config', 'llmApiKey: it has characters that no header can carry')
}

/** Of several prompts one that is given up leaves the others. */
function untilAllGiveUp(batch: readonly Waiting[]): AbortSignal {
  if (batch.length === 1) return batch[0]!.signal
  const all = new AbortController()
  let left = batch.length
  for (const { signal, reject } of batch) {
    const gone = () => {
      reject(signal.reason)
      if (--left === 0) all.abort(signal.reason)
    }
    if (signal.aborted) gone()
    else signal.addEventListener('abort', gone, { once: true })
  }
  return all.signal
}

function shareOf({ usage }: Answer, prompts: number): Tokens | undefined {
  if (usage === undefined) return undefined
  const share = (tokens: number) => Math.ceil(tokens / prompts)
  return { inputTokens: share(usage.prompt_tokens), outputTokens: share(usage.completion_tokens) }
}

/** A byte-level vocabulary has no token of less than a byte. */
function mostTokens({ system = '', user }: Prompt): number {
  return Buffer.byteLength(system) + Buffer.byteLength(user) + TEMPLATE_TOKENS
}

function textOf({ text, finish_reason }: { text: string; finish_reason?: string | null | undefined }) {
  return {
    text: text.slice(0, MOST_CHARACTERS),
    truncated: finish_reason === 'length' || text.length > MOST_CHARACTERS,
  }
}

function checked<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  const first = parsed.error.issues[0]
  const message = `The endpoint answered no completion: ${first?.path.join('.') ?? ''} ${first?.message ?? ''}`
  throw new GeneratorError('llm-garbage', message)
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
