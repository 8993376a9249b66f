import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, describe, test } from 'node:test'
import type { CompleteOptions, LocalCompletion, LocalModel } from '../../../adapters/local-model/local-model.ts'
import { buildLocalModelServer, isLoopback } from '../../../adapters/local-model/server.ts'
import { InvalidRequestError } from '../../../ports/errors.ts'
import { until } from '../../support/until.ts'

const NOW = 1_700_000_000_000
const CONTEXT_TOKENS = 1_000

interface Call {
  readonly prompt: string
  readonly options: CompleteOptions
  readonly signal: AbortSignal
  answer(completion?: Partial<LocalCompletion>): void
}

/** A model whose tokens are characters. It answers with its prompt in capitals, at once unless `held`. */
function testModel({ parallel = 2, held = false, fails = false } = {}) {
  const calls: Call[] = []
  const model: LocalModel = {
    name: 'test-model',
    contextTokens: CONTEXT_TOKENS,
    parallel,
    tokenize: (text) => [...text].map((character) => character.codePointAt(0)!),
    tokenizeChat(messages) {
      if (messages.every(({ role }) => role === 'assistant')) throw new InvalidRequestError('bad_chat', 'nobody asks')
      return model.tokenize(messages.map(({ role, content }) => `${role}: ${content}\n`).join(''))
    },
    complete: (tokens, options, signal) =>
      new Promise((resolve, reject) => {
        if (fails) throw new Error('broken on purpose')
        const prompt = String.fromCodePoint(...tokens)
        const answer = (completion: Partial<LocalCompletion> = {}) =>
          resolve({ text: prompt.toUpperCase(), finish: 'stop', tokens: 3, cachedTokens: 1, ...completion })
        signal.addEventListener('abort', () => reject(signal.reason))
        calls.push({ prompt, options, signal, answer })
        if (!held) answer()
      }),
    async close() {},
  }
  return { model, calls }
}

async function serve(options: Partial<Parameters<typeof buildLocalModelServer>[0]> = {}) {
  const warnings: string[] = []
  let ids = 0
  const server = buildLocalModelServer({
    bindHost: '127.0.0.1',
    model: Promise.resolve(testModel().model),
    warn: (line) => warnings.push(line),
    now: () => NOW,
    newId: () => `id-${ids++}`,
    ...options,
  })
  after(() => server.close())
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  const post = (path: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...(signal === undefined ? {} : { signal }),
    })
  return { server, url, post, warnings }
}

interface Answer {
  error: { message: string; type: string; param: string | null; code: string }
  choices: { index: number; text: string; finish_reason: string; message: { role: string; content: string } }[]
  usage: Record<string, unknown>
}
const bodyOf = async (response: Response) => (await response.json()) as Answer

describe('answers', () => {
  test('a chat is answered in the shape of OpenAI, by the template, with usage', async () => {
    const { model, calls } = testModel()
    const { post } = await serve({ model: Promise.resolve(model) })
    const messages = [
      { role: 'developer', content: 'be brief' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'h' },
          { type: 'text', text: 'i' },
        ],
      },
    ]
    const response = await post('/v1/chat/completions', {
      model: 'any',
      messages,
      max_completion_tokens: 7,
      temperature: 0.5,
      top_p: 0.9,
      seed: -1,
      stop: ['\n', 'end'],
    })
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), {
      id: 'chatcmpl-id-0',
      object: 'chat.completion',
      created: NOW / 1_000,
      model: 'test-model',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'SYSTEM: BE BRIEF\nUSER: HI\n', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 26,
        completion_tokens: 3,
        total_tokens: 29,
        prompt_tokens_details: { cached_tokens: 1 },
      },
    })
    assert.deepEqual(calls[0]!.options, {
      maxTokens: 7,
      temperature: 0.5,
      topP: 0.9,
      seed: 2 ** 32 - 1,
      stop: ['\n', 'end'],
    })
  })

  test('an array of prompts is answered in its order, whichever ends first, with the sum of their usage', async () => {
    const { model, calls } = testModel({ parallel: 2, held: true })
    const { post } = await serve({ model: Promise.resolve(model) })
    const answered = post('/v1/completions', { prompt: ['one', 'two', 'three'], stop: '\n' })
    await until('two to run', async () => calls.length === 2)
    calls[1]!.answer()
    await until('the third to run', async () => calls.length === 3)
    calls[2]!.answer({ finish: 'length' })
    calls[0]!.answer()
    const { choices, usage } = await bodyOf(await answered)
    assert.deepEqual(
      choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
      [
        [0, 'ONE', 'stop'],
        [1, 'TWO', 'stop'],
        [2, 'THREE', 'length'],
      ],
    )
    assert.deepEqual(usage, {
      prompt_tokens: 11,
      completion_tokens: 9,
      total_tokens: 20,
      prompt_tokens_details: { cached_tokens: 3 },
    })
    assert.deepEqual(calls[0]!.options, { maxTokens: 16, temperature: 1, topP: 1, seed: undefined, stop: ['\n'] })
  })

  test('/v1/models and /healthz name the model', async () => {
    const { url } = await serve()
    const models = await (await fetch(`${url}/v1/models`)).json()
    assert.deepEqual(models, {
      object: 'list',
      data: [{ id: 'test-model', object: 'model', created: 0, owned_by: 'local' }],
    })
    const health = await (await fetch(`${url}/healthz`)).json()
    assert.deepEqual(health, {
      status: 'ok',
      model: 'test-model',
      contextTokens: CONTEXT_TOKENS,
      parallel: 2,
      running: 0,
      waiting: 0,
    })
  })
})

describe('refusals', () => {
  const refused: [string, string, unknown, number, string, string | null][] = [
    ['a stream', '/v1/completions', { prompt: 'a', stream: true }, 400, 'invalid_value', 'stream'],
    [
      'a chat stream',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'a' }], stream: true },
      400,
      'invalid_value',
      'stream',
    ],
    ['two answers', '/v1/completions', { prompt: 'a', n: 2 }, 400, 'invalid_value', 'n'],
    ['no prompt', '/v1/completions', {}, 400, 'invalid_value', 'prompt'],
    ['tokens as prompt', '/v1/completions', { prompt: [1, 2] }, 400, 'invalid_value', 'prompt'],
    ['an empty array', '/v1/completions', { prompt: [] }, 400, 'invalid_value', 'prompt'],
    ['an empty stop string', '/v1/completions', { prompt: 'a', stop: '' }, 400, 'invalid_value', 'stop'],
    ['no message', '/v1/chat/completions', { messages: [] }, 400, 'invalid_value', 'messages'],
    [
      'a tool',
      '/v1/chat/completions',
      { messages: [{ role: 'tool', content: 'a' }] },
      400,
      'invalid_value',
      'messages.0.role',
    ],
    ['a field that would be ignored', '/v1/completions', { prompt: 'a', logit_bias: {} }, 400, 'invalid_value', null],
    [
      'a chat that the template refuses',
      '/v1/chat/completions',
      { messages: [{ role: 'assistant', content: 'a' }] },
      400,
      'bad_chat',
      null,
    ],
    ['no JSON', '/v1/completions', '{', 400, 'invalid_json', null],
    [
      'a prompt that fills the context',
      '/v1/completions',
      { prompt: 'a'.repeat(CONTEXT_TOKENS) },
      400,
      'context_length_exceeded',
      null,
    ],
    ['a body that is too large', '/v1/completions', { prompt: 'a'.repeat(1024 * 1024) }, 413, 'body_too_large', null],
    ['an unknown path', '/v1/embeddings', { input: 'a' }, 404, 'not_found', null],
  ]
  for (const [what, path, body, status, code, param] of refused) {
    test(`${what} gets ${status} ${code} and reaches no model`, async () => {
      const { model, calls } = testModel()
      const { post } = await serve({ model: Promise.resolve(model) })
      const response = await post(path, body)
      const { error } = await bodyOf(response)
      assert.deepEqual(
        { status: response.status, code: error.code, param: error.param, type: error.type },
        { status, code, param, type: 'invalid_request_error' },
      )
      assert.ok(error.message.length > 0)
      assert.equal(calls.length, 0)
    })
  }

  test('the refusal of a stream says so', async () => {
    const { post } = await serve()
    const { error } = await bodyOf(await post('/v1/completions', { prompt: 'a', stream: true }))
    assert.equal(error.message, 'stream: answers are not streamed: leave it out or send false')
  })

  test('text that is no JSON gets 415', async () => {
    const { post } = await serve()
    const response = await post('/v1/completions', 'a', { 'content-type': 'text/plain' })
    assert.equal(response.status, 415)
    assert.equal((await bodyOf(response)).error.code, 'unsupported_media_type')
  })

  test('a page of a browser and a foreign host name get 403', async () => {
    const { post, url } = await serve()
    const page = await post('/v1/completions', { prompt: 'a' }, { origin: 'http://127.0.0.1:8091' })
    assert.equal(page.status, 403)
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { host: 'rebound.example' }
      request(`${url}/healthz`, { headers }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end()
    })
    assert.equal(status, 403)
  })

  test('what fails in the model is told to the operator, not to the client', async () => {
    const { model } = testModel({ fails: true })
    const { post, warnings } = await serve({ model: Promise.resolve(model) })
    const response = await post('/v1/completions', { prompt: 'a' })
    assert.equal(response.status, 500)
    const { error } = await bodyOf(response)
    assert.deepEqual([error.type, error.code], ['server_error', 'internal'])
    assert.doesNotMatch(error.message, /purpose/)
    assert.match(warnings.join(), /broken on purpose/)
  })

  test('only loopback addresses count as such', () => {
    assert.deepEqual(['127.0.0.1', '::1', '[::1]', 'localhost', '0.0.0.0', '::', '10.0.0.1'].map(isLoopback), [
      ...[true, true, true, true],
      ...[false, false, false],
    ])
  })
})

describe('a model that is busy', () => {
  test('gets 429 with Retry-After once its queue is full, for all prompts of a request or none', async () => {
    const { model, calls } = testModel({ parallel: 1, held: true })
    const { post, url } = await serve({ model: Promise.resolve(model), maxWaiting: 2 })
    const first = post('/v1/completions', { prompt: ['runs', 'waits'] })
    await until('one to run', async () => calls.length === 1)
    const tooMany = await post('/v1/completions', { prompt: ['a', 'b'] })
    assert.equal(tooMany.status, 429)
    assert.equal(tooMany.headers.get('retry-after'), '2')
    assert.deepEqual((await bodyOf(tooMany)).error, {
      message: '1 prompts run and 1 wait: there is no room for 2 more',
      type: 'rate_limit_error',
      param: null,
      code: 'rate_limit_exceeded',
    })
    const last = post('/v1/completions', { prompt: 'fits' })
    await until(
      'two to wait',
      async () => ((await (await fetch(`${url}/healthz`)).json()) as { waiting: number }).waiting === 2,
    )
    for (const expected of ['runs', 'waits', 'fits']) {
      await until(`${expected} to run`, async () => calls.at(-1)!.prompt === expected)
      calls.at(-1)!.answer()
    }
    assert.equal((await first).status, 200)
    assert.equal((await last).status, 200)
  })

  test('refuses a request that could never fit with 400', async () => {
    const { post } = await serve({ maxWaiting: 2 })
    const response = await post('/v1/completions', { prompt: ['a', 'b', 'c', 'd', 'e'] })
    assert.equal(response.status, 400)
    assert.equal((await bodyOf(response)).error.message, 'A request has at most 4 prompts, and this one has 5')
  })

  test('ends what a client that went away had asked for, running or waiting', async () => {
    const { model, calls } = testModel({ parallel: 1, held: true })
    const { post, url, warnings } = await serve({ model: Promise.resolve(model) })
    const leaving = new AbortController()
    const left = post('/v1/completions', { prompt: ['runs', 'waits'] }, {}, leaving.signal)
    await until('one to run', async () => calls.length === 1)
    leaving.abort()
    await assert.rejects(left, { name: 'AbortError' })
    await until('the model to be free', async () => {
      const { running, waiting } = (await (await fetch(`${url}/healthz`)).json()) as {
        running: number
        waiting: number
      }
      return running === 0 && waiting === 0
    })
    assert.equal(calls[0]!.signal.aborted, true)
    assert.equal(calls.length, 1)
    assert.deepEqual(warnings, [])
  })
})

describe('beginning and end', () => {
  test('503 with Retry-After while the model is being loaded, then answers', async () => {
    let loaded: (model: LocalModel) => void = () => {}
    const { post, url } = await serve({ model: new Promise((resolve) => (loaded = resolve)) })
    for (const response of [await post('/v1/completions', { prompt: 'a' }), await fetch(`${url}/healthz`)]) {
      assert.equal(response.status, 503)
      assert.equal(response.headers.get('retry-after'), '5')
      const { error } = await bodyOf(response)
      assert.deepEqual([error.type, error.code], ['server_error', 'model_loading'])
    }
    loaded(testModel().model)
    assert.equal((await fetch(`${url}/healthz`)).status, 200)
    assert.equal((await post('/v1/completions', { prompt: 'a' })).status, 200)
  })

  test('closing answers what runs and refuses what waits with 503', async () => {
    const { model, calls } = testModel({ parallel: 1, held: true })
    const { server, post } = await serve({ model: Promise.resolve(model) })
    const runs = post('/v1/completions', { prompt: 'runs' })
    await until('one to run', async () => calls.length === 1)
    const waits = post('/v1/completions', { prompt: 'waits' })
    const health = () => server.inject({ url: '/healthz', headers: { host: 'localhost' } })
    await until('one to wait', async () => (await health()).json<{ waiting: number }>().waiting === 1)
    const closed = server.close()
    const refused = await waits
    assert.equal(refused.status, 503)
    assert.equal((await bodyOf(refused)).error.code, 'server_closing')
    calls[0]!.answer()
    assert.equal((await bodyOf(await runs)).choices[0]!.text, 'RUNS')
    await closed
    assert.equal(calls.length, 1)
  })

  test('closing ends what still runs when its time is over', async () => {
    const { model, calls } = testModel({ parallel: 1, held: true })
    const { server, post } = await serve({ model: Promise.resolve(model), drainMs: 1 })
    const runs = post('/v1/completions', { prompt: 'runs' })
    await until('one to run', async () => calls.length === 1)
    const closed = server.close()
    const response = await runs
    assert.equal(response.status, 503)
    assert.equal((await bodyOf(response)).error.code, 'server_closing')
    await closed
  })
})
