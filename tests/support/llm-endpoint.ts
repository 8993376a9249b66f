/**
 * An OpenAI-compatible endpoint over HTTP that answers from the tags of its prompt, and misbehaves when it is told to.
 * What it writes is true to the tags, unless `write` says otherwise.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type Behaviour =
  | 'right'
  | { status: number; headers?: Record<string, string>; body?: string }
  /** Any bytes with status 200, as JSON by its header. */
  | { raw: string; type?: string }
  /** Answers rightly, late. */
  | { afterMs: number }
  /** Takes the request and never answers. */
  | 'silent'
  /** Cuts the connection in the middle of the body. */
  | 'cut'
  /** Sends without end. */
  | 'endless'

export interface Asked {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
  /** Of each prompt: the whole text that the model sees. */
  readonly prompts: readonly string[]
}

export interface LlmEndpoint {
  readonly url: string
  readonly asked: Asked[]
  /** Most requests under way at a time. */
  readonly mostAtOnce: () => number
  /** Tokens that it has charged for. */
  readonly charged: { input: number; output: number }
  behave: (number: number, asked: Asked) => Behaviour
  write: (tags: readonly { category: string; names: readonly string[] }[], prompt: string) => string
  /** Whether answers tell their usage. */
  tellsUsage: boolean
  /** Stops listening and breaks all connections; `open` takes the same port again. */
  kill(): Promise<void>
  open(): Promise<void>
}

export async function startLlmEndpoint(): Promise<LlmEndpoint> {
  let port = 0
  let underWay = 0
  let most = 0
  const endpoint = {
    asked: [] as Asked[],
    charged: { input: 0, output: 0 },
    behave: (): Behaviour => 'right',
    write: faithful as LlmEndpoint['write'],
    tellsUsage: true,
    mostAtOnce: () => most,
  }
  const server = createServer((request, response) => {
    most = Math.max(most, ++underWay)
    response.on('close', () => underWay--)
    answer(request, response).catch(() => response.destroy())
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>
    const chat = request.url!.endsWith('/chat/completions')
    const prompts = chat
      ? [(body.messages as { content: string }[]).map(({ content }) => content).join('\n')]
      : ([body.prompt].flat() as string[])
    const asked = { path: request.url!, headers: request.headers, body, prompts }
    endpoint.asked.push(asked)
    const behaviour = (endpoint as unknown as LlmEndpoint).behave(endpoint.asked.length, asked)
    const charge = (output: number) => {
      endpoint.charged.input += prompts.reduce((sum, prompt) => sum + Math.ceil(prompt.length / 4), 0)
      endpoint.charged.output += output
    }
    // Who hangs up, or whose proxy does, has worked all the same.
    const isSpent = behaviour === 'silent' || behaviour === 'cut' || behaviour === 'endless'
    if (
      isSpent ||
      (typeof behaviour === 'object' && 'status' in behaviour && [500, 502, 504].includes(behaviour.status))
    ) {
      charge(20)
    }
    if (behaviour === 'silent') return
    if (behaviour === 'cut' || behaviour === 'endless') {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"choices": [{"message": {"content": "A calm')
      if (behaviour === 'cut') {
        response.destroy()
        return
      }
      while (!response.destroyed) {
        response.write('a'.repeat(65_536))
        await delay(1)
      }
      return
    }
    if (typeof behaviour === 'object' && 'status' in behaviour) {
      response.writeHead(behaviour.status, { 'content-type': 'application/json', ...behaviour.headers })
      response.end(behaviour.body ?? JSON.stringify({ error: { message: 'no', type: 'test' } }))
      return
    }
    if (typeof behaviour === 'object' && 'raw' in behaviour) {
      response.writeHead(200, { 'content-type': behaviour.type ?? 'application/json' }).end(behaviour.raw)
      return
    }
    if (typeof behaviour === 'object') await delay(behaviour.afterMs)
    const texts = prompts.map((prompt) => endpoint.write(tagsOf(prompt), prompt))
    const usage = {
      prompt_tokens: prompts.reduce((sum, prompt) => sum + Math.ceil(prompt.length / 4), 0),
      completion_tokens: texts.reduce((sum, text) => sum + Math.ceil(text.length / 4), 0),
    }
    charge(usage.completion_tokens)
    const choices = texts.map((text, index) =>
      chat
        ? { index, message: { role: 'assistant', content: text }, finish_reason: 'stop' }
        : { index, text, finish_reason: 'stop' },
    )
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ id: 'x', choices, ...(endpoint.tellsUsage ? { usage } : {}) }))
  }

  const open = async () => {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    port = (server.address() as AddressInfo).port
  }
  await open()
  return Object.assign(endpoint as unknown as LlmEndpoint, {
    url: `http://127.0.0.1:${port}/v1`,
    open,
    kill: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
}

/** The tags of the last line that begins with [Input]. */
function tagsOf(prompt: string): { category: string; names: string[] }[] {
  const line = prompt.slice(prompt.lastIndexOf('[Input]:') + 8).split('\n', 1)[0]!
  return line
    .split(';')
    .map((part) => part.split(':'))
    .filter((parts) => parts.length === 2)
    .map(([category, names]) => ({
      category: category!.trim().toLowerCase(),
      names: names!.split(',').map((name) =>
        name
          .replace(/\([^)]*\)/, '')
          .trim()
          .toLowerCase(),
      ),
    }))
}

/** Says every tag, and no other. */
export function faithful(tags: readonly { category: string; names: readonly string[] }[]): string {
  const names = (category: string) => tags.find((one) => one.category === category)?.names ?? []
  const sounds = names('instrument').filter((name) => !/^(no vocals|instrumental)$/.test(name))
  const parts = [
    [...names('mood'), ...names('genre')].join(' and '),
    'music',
    sounds.length > 0 ? `with ${sounds.join(' and ')}` : '',
  ]
  return `This is ${parts.filter(Boolean).join(' ')}.`
}
