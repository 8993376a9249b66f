import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { openGenerationStore } from '../../../adapters/embedded/generation-store.ts'
import { openBudget } from '../../../adapters/llm/budget.ts'
import { type EndpointOptions, openEndpoint } from '../../../adapters/llm/endpoint.ts'
import {
  type Completion,
  type GenerationStore,
  GeneratorError,
  type TextGenerator,
} from '../../../ports/text-generator.ts'
import { type LlmEndpoint, startLlmEndpoint } from '../../support/llm-endpoint.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const KEY = 'sk-secret-of-the-test'
const prompt = { system: 'Write.', user: '[Input]: Genre: Rock (80.0%)\n[Output]:', stop: ['\n'] }

describe('an OpenAI-compatible endpoint', () => {
  const folder = temporaryFolder()
  let llm: LlmEndpoint
  let store: GenerationStore
  before(async () => {
    llm = await startLlmEndpoint()
    store = openGenerationStore(folder)
  })
  after(async () => {
    await llm.kill()
    await store.close()
  })
  beforeEach(() => {
    llm.asked.length = 0
    llm.behave = () => 'right'
    llm.tellsUsage = true
    llm.write = (_, text) => `about ${text.length}`
  })

  let periods = 0
  const opened = (options: Partial<EndpointOptions> & { capUsd?: number } = {}) => {
    const now = () => Date.UTC(2031, 0, ++periods)
    const at = now()
    const budget = openBudget({
      store,
      capUsd: options.capUsd,
      period: 'day',
      usdPerMillionInput: 1,
      usdPerMillionOutput: 2,
      now: () => at,
    })
    return openEndpoint({
      url: llm.url,
      model: 'test-model',
      kind: 'instruct',
      apiKey: KEY,
      temperature: 0.5,
      maxTokens: 40,
      concurrency: 4,
      timeoutMs: 5_000,
      retries: 2,
      retryDelayMs: 1,
      lookAgainMs: 5,
      promptsPerRequest: 1,
      budget,
      ...options,
    })
  }
  const spentOfLast = () => store.spent(new Date(Date.UTC(2031, 0, periods)).toISOString().slice(0, 10))
  const ask = (generator: TextGenerator, seed = 1, signal = new AbortController().signal) =>
    generator.complete(prompt, { signal, seed })
  const codeOf = async (completion: Promise<Completion>): Promise<string> => {
    const error = await completion.then(
      ({ text }) => assert.fail(`it answered ${text}`),
      (cause: unknown) => cause,
    )
    assert.ok(error instanceof GeneratorError, String(error))
    assert.ok(!`${error.stack}${JSON.stringify(error)}${error.cause}`.includes(KEY), 'the key is told')
    return error.code
  }

  test('instruct models are asked by chat, with system, seed, stop and the key, and tell what they used', async () => {
    const generator = opened()
    const completion = await ask(generator, 77)
    const [asked] = llm.asked
    assert.equal(asked!.path, '/v1/chat/completions')
    assert.equal(asked!.headers.authorization, `Bearer ${KEY}`)
    assert.deepEqual(asked!.body, {
      model: 'test-model',
      temperature: 0.5,
      max_tokens: 40,
      seed: 77,
      stop: ['\n'],
      messages: [
        { role: 'system', content: 'Write.' },
        { role: 'user', content: prompt.user },
      ],
    })
    assert.equal(completion.inputTokens, llm.charged.input)
    assert.equal(completion.usd, (llm.charged.input + 2 * llm.charged.output) / 1e6)
    assert.equal(await spentOfLast(), llm.charged.input + 2 * llm.charged.output)
    await generator.close()
  })

  test('base models are asked by completions, several prompts a request, and each prompt gets its own text', async () => {
    const generator = opened({ kind: 'base', promptsPerRequest: 4, concurrency: 1 })
    llm.write = (_, text) => `for ${/number (\d+)/.exec(text)![1]}`
    const texts = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        generator.complete({ user: `number ${i}`, stop: [] }, { signal: new AbortController().signal, seed: 1 }),
      ),
    )
    assert.deepEqual(
      texts.map(({ text }) => text),
      Array.from({ length: 10 }, (_, i) => `for ${i}`),
    )
    assert.ok(llm.asked.every(({ path }) => path === '/v1/completions'))
    for (const { prompts, body } of llm.asked) assert.equal(body.seed, prompts.length === 1 ? 1 : undefined)
    assert.ok(llm.asked.length <= 4, `${llm.asked.length} requests for 10 prompts`)
    await generator.close()
  })

  test('of several prompts in a request the one that is refused is found, and the others are answered', async () => {
    const generator = opened({ kind: 'base', promptsPerRequest: 4, concurrency: 1 })
    await ask(generator)
    llm.behave = (_, { prompts }) => (prompts.some((text) => text.includes('bad')) ? { status: 400 } : 'right')
    const results = await Promise.all(
      ['good 1', 'bad 2', 'good 3', 'good 4'].map((user) =>
        generator.complete({ user, stop: [] }, { signal: new AbortController().signal, seed: 1 }).then(
          () => 'answered',
          (error: GeneratorError) => error.code,
        ),
      ),
    )
    assert.deepEqual(results, ['answered', 'llm-rejected', 'answered', 'answered'])
    await generator.close()
  })

  for (const [what, behaviour, code] of [
    ['500', { status: 500 }, 'llm-failed'],
    ['a page in place of JSON', { raw: '<html>down</html>', type: 'text/html' }, 'llm-garbage'],
    ['half of its JSON', { raw: '{"choices": [{"mess' }, 'llm-garbage'],
    ['JSON of another shape', { raw: '{"choices": []}' }, 'llm-garbage'],
    ['null', { raw: 'null' }, 'llm-garbage'],
    ['nothing', { raw: '' }, 'llm-garbage'],
    ['half of an answer and hangs up', 'cut', 'llm-away'],
    ['429 for a moment', { status: 429, headers: { 'retry-after': '0.01' } }, 'llm-busy'],
  ] as const) {
    test(`one that answers ${what} is asked again, and given up after its retries as ${code}`, async () => {
      const generator = opened()
      llm.behave = () => behaviour
      assert.equal(await codeOf(ask(generator)), code)
      assert.equal(llm.asked.length, 3)
      llm.behave = (number) => (number === llm.asked.length && number % 2 === 0 ? behaviour : 'right')
      assert.match((await ask(generator)).text, /^about/)
      await generator.close()
    })
  }

  test('one that never answers is given up by the timeout, body included', async () => {
    for (const [behaviour, timeoutMs, code] of [
      ['silent', 60, 'llm-slow'],
      ['endless', 20_000, 'llm-garbage'],
    ] as const) {
      const generator = opened({ timeoutMs, retries: 0 })
      llm.behave = () => behaviour
      assert.equal(await codeOf(ask(generator)), code)
      await generator.close()
    }
  })

  test('a redirect is not followed, so the key goes nowhere else', async () => {
    const generator = opened({ retries: 0 })
    const other = await startLlmEndpoint()
    llm.behave = () => ({ status: 307, headers: { location: `${other.url}/chat/completions` } })
    assert.equal(await codeOf(ask(generator)), 'llm-refused')
    assert.equal(await spentOfLast(), 0)
    assert.equal(other.asked.length, 0)
    await other.kill()
    await generator.close()
  })

  test('401, 403 and 404 are an operator’s affair: they are not tried again, and say where to look', async () => {
    for (const status of [400, 401, 403, 404]) {
      const generator = opened()
      llm.asked.length = 0
      llm.behave = () => ({ status, body: `{"error":{"message":"bad key ${KEY}"}}` })
      await assert.rejects(ask(generator), /llmModel/)
      assert.equal(await codeOf(ask(generator)), 'llm-refused')
      assert.equal(llm.asked.length, 2)
      await generator.close()
    }
  })

  test('a long wait that 429 asks for fails all at once, with nothing sent meanwhile', async () => {
    const generator = opened()
    llm.behave = () => ({ status: 429, headers: { 'retry-after': '3600' } })
    await assert.rejects(ask(generator), (error) => error instanceof GeneratorError && error.retryAfterMs! > 3_000_000)
    assert.equal(await codeOf(ask(generator)), 'llm-busy')
    assert.equal(llm.asked.length, 1)
    await generator.close()
  })

  test('429 for a moment beside one for an hour holds nobody back for the hour: all fail at once', async () => {
    const generator = opened({ retries: 0 })
    llm.behave = (number) => ({ status: 429, headers: { 'retry-after': number === 1 ? '3600' : '1' } })
    const codes = await Promise.all([1, 2, 3].map((seed) => codeOf(ask(generator, seed))))
    assert.deepEqual(new Set(codes), new Set(['llm-busy']))
    assert.equal(await codeOf(ask(generator, 4)), 'llm-busy')
    await generator.close()
  })

  test('after failures in a row requests fail at once by the same code, with no retries, until a look shows that it is back', async () => {
    const seen: boolean[] = []
    const observe = { request() {}, usage() {}, open: (isOpen: boolean) => void seen.push(isOpen) }
    const generator = opened({ retries: 0, observe, lookAgainMs: 30 })
    llm.behave = () => ({ status: 500 })
    for (let i = 0; i < 5; i++) await codeOf(ask(generator))
    assert.deepEqual(seen, [true, false])
    const codes = await Promise.all(Array.from({ length: 200 }, () => codeOf(ask(generator))))
    assert.deepEqual(new Set(codes), new Set(['llm-failed']))
    assert.ok(llm.asked.length <= 6, `${llm.asked.length} requests to an endpoint that is down`)
    llm.behave = () => 'right'
    for (;;) if (await ask(generator).catch(() => undefined)) break
    assert.equal(seen.at(-1), true)
    await generator.close()
  })

  test('while a look waits for its answer, all others fail at once', async () => {
    const generator = opened({ lookAgainMs: 1, concurrency: 8, retryDelayMs: 600_000, retries: 5, timeoutMs: 60_000 })
    llm.behave = () => ({ status: 401 })
    for (let i = 0; i < 5; i++) await codeOf(ask(generator))
    llm.behave = () => 'silent'
    const looking = new AbortController()
    const look = (async () => {
      while (llm.asked.length < 6) await ask(generator, 1, looking.signal).catch(() => {})
    })()
    for (; llm.asked.length < 6; ) await new Promise(setImmediate)
    const codes = await Promise.all(Array.from({ length: 50 }, () => codeOf(ask(generator))))
    assert.deepEqual(new Set(codes), new Set(['llm-refused']))
    assert.equal(llm.asked.length, 6)
    looking.abort(new Error('enough'))
    await look
    await generator.close()
  })

  test('what is not sent takes nothing of the rate: a dead endpoint and an empty budget fail everybody at once', async () => {
    const gone = await startLlmEndpoint()
    await gone.kill()
    const dead = opened({ requestsPerMinute: 5, retries: 0, url: gone.url })
    const codes = await Promise.all(Array.from({ length: 50 }, (_, seed) => codeOf(ask(dead, seed))))
    assert.deepEqual(new Set(codes), new Set(['llm-away']))
    assert.equal(await spentOfLast(), 0, 'nothing was sent, so nothing is spent')
    await dead.close()
    const poor = opened({ requestsPerMinute: 1, capUsd: 0 })
    const refused = await Promise.all(Array.from({ length: 50 }, (_, seed) => codeOf(ask(poor, seed))))
    assert.deepEqual(new Set(refused), new Set(['llm-budget']))
    await poor.close()
  })

  test('a prompt that is refused while others are answered is rejected, and does not stand for the endpoint', async () => {
    const generator = opened()
    await ask(generator)
    for (const behaviour of [{ status: 400 }, { status: 413 }, { status: 422 }, { raw: '{"choices": []}' }] as const) {
      llm.behave = () => behaviour
      for (let i = 0; i < 6; i++) assert.equal(await codeOf(ask(generator, i)), 'llm-rejected')
    }
    llm.behave = () => ({ raw: '{"choices": [{"message": {}, "finish_reason": "content_filter"}]}' })
    assert.equal((await ask(generator)).text, '')
    await generator.close()
  })

  test('a key that no header can carry is told at once, and not repeated', () => {
    assert.throws(
      () => opened({ apiKey: 'sk-abc\ndef' }),
      (error: Error) => /llmApiKey/.test(error.message) && !/abc/.test(error.message),
    )
  })

  test('a text goes on for so long and no longer, whatever the endpoint thinks of its limit', async () => {
    const generator = opened()
    llm.write = () => 'very long '.repeat(50_000)
    const { text, truncated } = await ask(generator)
    assert.deepEqual([text.length, truncated], [8_000, true])
    await generator.close()
  })

  test('no more requests than the concurrency are under way', async () => {
    const generator = opened({ concurrency: 3 })
    llm.behave = () => ({ afterMs: 5 })
    await Promise.all(Array.from({ length: 20 }, (_, seed) => ask(generator, seed)))
    assert.equal(llm.mostAtOnce(), 3)
    await generator.close()
  })

  test('no more requests begin in a minute than are allowed', async () => {
    const generator = opened({ requestsPerMinute: 2 })
    const all = [1, 2, 3].map((seed) => ask(generator, seed))
    await Promise.all(all.slice(0, 2))
    assert.equal(llm.asked.length, 2)
    const giving = new AbortController()
    const given = ask(generator, 4, giving.signal)
    giving.abort(new Error('given up'))
    await assert.rejects(given, /given up/, 'who waits for the next minute may leave before')
    await generator.close()
    assert.equal(await codeOf(all[2]!), 'llm-away')
    assert.equal(llm.asked.length, 2)
  })

  test('a caller that gives up ends its request, and leaves the others', async () => {
    const generator = opened({ concurrency: 1 })
    llm.behave = (number) => (number === 1 ? 'silent' : 'right')
    const giving = new AbortController()
    const given = ask(generator, 1, giving.signal)
    const waiting = ask(generator, 2, giving.signal)
    const other = ask(generator, 3)
    for (; llm.asked.length === 0; ) await new Promise(setImmediate)
    giving.abort(new Error('given up'))
    await assert.rejects(given, /given up/)
    await assert.rejects(waiting, /given up/)
    assert.match((await other).text, /^about/)
    assert.equal(llm.asked.length, 2)
    await generator.close()
  })

  test('spend never passes the cap, however many ask at once and whatever goes wrong', async () => {
    for (const behave of [
      () => 'right',
      (number: number) => (number % 3 === 0 ? { status: 500 } : 'right'),
      (number: number) => (number % 4 === 0 ? 'cut' : 'right'),
    ] as LlmEndpoint['behave'][]) {
      const generator = opened({ capUsd: 0.002, retries: 1, concurrency: 16 })
      const before = { ...llm.charged }
      llm.behave = behave
      const results = await Promise.allSettled(Array.from({ length: 120 }, (_, seed) => ask(generator, seed)))
      const charged = llm.charged.input - before.input + 2 * (llm.charged.output - before.output)
      assert.ok(charged <= 2_000, `${charged} millionths charged of 2000`)
      assert.ok((await spentOfLast()) <= 2_000)
      assert.ok((await spentOfLast()) >= charged)
      assert.ok(results.some(({ status }) => status === 'fulfilled'))
      const codes = results.flatMap((one) => (one.status === 'rejected' ? [(one.reason as GeneratorError).code] : []))
      assert.ok(codes.includes('llm-budget'), `${codes}`)
      await generator.close()
    }
  })

  test('where answers do not tell their usage, the most that they can have used is counted', async () => {
    const generator = opened()
    llm.tellsUsage = false
    const before = { ...llm.charged }
    await ask(generator)
    assert.ok((await spentOfLast()) >= llm.charged.input - before.input + 2 * 40)
    await generator.close()
  })
})
