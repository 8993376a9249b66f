/**
 * LocalModel by llama.cpp: one context, `parallel` sequences of it, whose tokens llama.cpp computes in common batches.
 *
 *   prompt ─▶ the free sequence that begins most alike ─▶ the rest of the prompt, block by block ─▶ token by token ─▶ text
 *
 *   [prefix]  a sequence keeps the state of its last prompt, and what the next one shares with it is not computed again
 *   [blocks]  prompts are computed in blocks that begin at multiples of BLOCK_TOKENS, and only whole blocks are kept: the
 *             numbers of a prompt do not depend on what was asked before. A seed then gives the same text again, unless
 *             others run beside it: batches round differently with what is in them
 *   [text]    what a message holds is never read as special tokens: those come from the template alone
 *   [abort]   a signal is looked at between blocks and between tokens
 */
import { randomInt, randomUUID } from 'node:crypto'
import { basename } from 'node:path'
import { InvalidRequestError, SetupError } from '../../ports/errors.ts'
import { checkGguf } from './gguf.ts'
import { type LlamaModel, type LlamaSequence, type OpenLlama, openLlama, type Token } from './llama.ts'
import type { ChatMessage, CompleteOptions, LocalCompletion, LocalModel } from './local-model.ts'
import { bestFor, sharedPrefix } from './prefixes.ts'
import { openStoppedText } from './stop-strings.ts'

export interface LoadOptions {
  readonly gguf: string
  /** Tokens of a prompt and its answer, for each of `parallel`. */
  readonly contextTokens: number
  readonly parallel: number
  readonly threads?: number | undefined
  /** That the install command filled. */
  readonly folder?: string | undefined
  readonly warn: (line: string) => void
  readonly signal?: AbortSignal
}

const BLOCK_TOKENS = 64
/** Bytes of one character in UTF-8, a token each in the worst case. */
const MOST_PARTS = 4
const UNKNOWN = '\ufffd'

interface Slot {
  readonly sequence: LlamaSequence
  /** Whole blocks of the last prompt. */
  kept: readonly Token[]
}

/** @throws SetupError 'bad-gguf' | 'no-local-model' | 'local-model-failed' */
export async function loadLocalModel(options: LoadOptions): Promise<LocalModel> {
  const { gguf, parallel, warn, signal } = options
  await checkGguf(gguf)
  const opened = await openLlama({ folder: options.folder, threads: options.threads, warn })
  const { llama, threads } = opened
  try {
    const abort = signal === undefined ? {} : { loadSignal: signal }
    const model = await llama.loadModel({ modelPath: gguf, checkTensors: true, ...abort })
    const context = await model.createContext({
      contextSize: options.contextTokens,
      sequences: parallel,
      threads,
      swaFullCache: true, // models with a sliding window keep prefixes too
      ...(signal === undefined ? {} : { createSignal: signal }),
    })
    const free: Slot[] = Array.from({ length: parallel }, () => ({ sequence: context.getSequence(), kept: [] }))
    return {
      name: basename(gguf).replace(/\.gguf$/i, ''),
      contextTokens: context.contextSize,
      parallel,
      tokenize: (text) => withBeginning(model, model.tokenize(text, false)),
      tokenizeChat: chatTokenizer(opened, model),
      async complete(prompt, how, given) {
        given.throwIfAborted()
        const slot = bestFor(free, prompt)
        if (slot === undefined) throw new Error(`More than ${parallel} completions at a time`)
        free.splice(free.indexOf(slot), 1)
        try {
          const cachedTokens = await keepShared(slot, prompt)
          const rest = await computeBlocks(slot, prompt, given)
          const room = context.contextSize - prompt.length
          return { ...(await generate(model, slot.sequence, rest, room, how, given)), cachedTokens }
        } finally {
          free.push(slot)
        }
      },
      async close() {
        await context.dispose()
        await model.dispose()
        await llama.dispose()
      },
    }
  } catch (cause) {
    await llama.dispose()
    signal?.throwIfAborted()
    const reason = (cause as Error).message?.split('\n')[0] ?? String(cause)
    const message = `${gguf} cannot be loaded (${reason}). See that it is whole and fits into memory with --context and --parallel, or choose a smaller one`
    throw new SetupError('local-model-failed', message, { cause })
  }
}

/** [prefix] @returns tokens that need not be computed again. */
async function keepShared(slot: Slot, prompt: readonly Token[]): Promise<number> {
  const shared = sharedPrefix(slot.kept, prompt.slice(0, -1)) // the last one is computed for what follows it
  const whole = shared - (shared % BLOCK_TOKENS)
  slot.kept = []
  await slot.sequence.adaptStateToTokens(prompt.slice(0, whole), false)
  return slot.sequence.nextTokenIndex
}

/** [blocks] @returns what is left of the prompt, 1 … BLOCK_TOKENS tokens. */
async function computeBlocks(slot: Slot, prompt: readonly Token[], signal: AbortSignal): Promise<Token[]> {
  const whole = prompt.length - 1 - ((prompt.length - 1) % BLOCK_TOKENS)
  let at = slot.sequence.nextTokenIndex
  slot.kept = prompt.slice(0, at)
  while (at < whole) {
    signal.throwIfAborted()
    const end = at - (at % BLOCK_TOKENS) + BLOCK_TOKENS
    await slot.sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(at, end))
    slot.kept = prompt.slice(0, end)
    at = end
  }
  signal.throwIfAborted()
  return prompt.slice(at)
}

async function generate(
  model: LlamaModel,
  sequence: LlamaSequence,
  rest: Token[],
  room: number,
  { maxTokens = room, temperature, topP, seed, stop }: CompleteOptions,
  signal: AbortSignal,
): Promise<Omit<LocalCompletion, 'cachedTokens'>> {
  const most = Math.min(maxTokens, room)
  const written = openStoppedText(stop)
  const tokens: Token[] = []
  let told = 0 // of tokens, those whose text is written
  const sampling = { temperature, topP, topK: 0, minP: 0, seed: seed ?? randomInt(2 ** 32) }
  for await (const token of sequence.evaluate(rest, sampling)) {
    signal.throwIfAborted()
    tokens.push(token)
    const piece = model.detokenize(tokens.slice(told), false, tokens.slice(0, told))
    const isPart = piece.endsWith(UNKNOWN) && tokens.length - told < MOST_PARTS && tokens.length < most
    if (!isPart) {
      told = tokens.length
      if (written.add(piece)) return { text: written.text, finish: 'stop', tokens: tokens.length }
    }
    if (tokens.length === most) return { text: written.text, finish: 'length', tokens: tokens.length }
  }
  written.add(model.detokenize(tokens.slice(told), false, tokens.slice(0, told)))
  return { text: written.text, finish: 'stop', tokens: tokens.length }
}

/** [text] The template is rendered with marks in place of the messages. */
function chatTokenizer({ Template, LlamaText, SpecialTokensText }: OpenLlama, model: LlamaModel) {
  const source = model.fileInfo.metadata.tokenizer?.chat_template
  let template: InstanceType<typeof Template> | undefined
  return (messages: readonly ChatMessage[]): readonly Token[] => {
    if (source === undefined) {
      const message = 'This model has no chat template: it goes on with texts. Ask /v1/completions'
      throw new InvalidRequestError('no_chat_template', message)
    }
    const marks = messages.map(() => `{${randomUUID()}}`)
    let rendered: string
    try {
      template ??= new Template(source)
      rendered = template.render({
        messages: messages.map(({ role }, i) => ({ role, content: marks[i] })),
        add_generation_prompt: true,
        bos_token: model.tokens.bosString ?? '',
        eos_token: model.tokens.eosString ?? '',
      })
    } catch (cause) {
      const message = `The model's chat template refuses these messages: ${(cause as Error).message}`
      throw new InvalidRequestError('chat_template_refused', message, { cause })
    }
    const parts: unknown[] = []
    for (const [i, mark] of marks.entries()) {
      const at = rendered.indexOf(mark)
      if (at < 0) {
        const message = `The model's chat template leaves message ${i} out, of role ${messages[i]!.role}`
        throw new InvalidRequestError('chat_template_refused', message)
      }
      parts.push(new SpecialTokensText(rendered.slice(0, at)), messages[i]!.content)
      rendered = rendered.slice(at + mark.length)
    }
    parts.push(new SpecialTokensText(rendered))
    return withBeginning(model, LlamaText(parts).tokenize(model.tokenizer))
  }
}

function withBeginning({ tokens: { bos, shouldPrependBosToken } }: LlamaModel, tokens: Token[]): Token[] {
  return bos === null || !shouldPrependBosToken || tokens[0] === bos ? tokens : [bos, ...tokens]
}
