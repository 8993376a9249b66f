/**
 * Words for tags, by one of three methods (McKee et al. 2023, §3.1):
 *
 *     tags ─▶ prompt ─▶ model ─▶ checks ─┬─▶ prompt2text
 *                         ▲              │
 *                         └── once more ─┼─▶ data2text, marked as a fallback
 *
 *   [checked]  no text of a model leaves that names an instrument, genre or voice which the tags do not have, or that
 *              fails another check (check-text.ts)
 *   [fallback] whatever the model does, there is a text; it says what it is, and why
 *   [seeded]   the same seed, id and tags give the same text, as far as the model keeps to its seed
 */
import { seededBits, seededRandom, shuffled } from '../../model/random.ts'
import { SetupError } from '../../ports/errors.ts'
import { type Completion, GeneratorError, type Prompt, type TextGenerator } from '../../ports/text-generator.ts'
import type { Tag, TagThresholds } from '../../schemas/types.ts'
import type { Fault, TextCheck } from './check-text.ts'
import { data2text } from './data2text.ts'
import { choosePairs, type FewShotPool, type PairChoice } from './few-shot.ts'
import { analogyPrompt, cleanCompletion, compressPrompt, PROMPT_VERSION, retryPrompt } from './prompt.ts'
import { confidentTags, spokenTags, type TagsByCategory, tagsByCategory, topTags } from './select-tags.ts'

/** What keeps a text of a model from being taken. */
export type TextFault = Fault | OmitsTags
/** It says none of the tags, or, where sentences were to be joined, not all. */
type OmitsTags = 'omits-tags'

export type Method = 'prompt2text' | 'data2text' | 'tags'

export interface Description {
  readonly text: string
  /** That it was written by. */
  readonly method: Method
  readonly generator: string
  readonly promptVersion: string | null
  readonly tagsKept: readonly string[]
  readonly tagsOmitted: readonly string[]
  readonly tagsInvented: readonly string[]
  readonly prompt?: PromptRecord | undefined
  readonly fallback?: Fallback | undefined
  /** What the model wrote that did not count, in order. */
  readonly rejected?: readonly Rejected[]
  readonly usage?: Usage | undefined
}

export interface PromptRecord {
  readonly model: string
  readonly temperature: number
  readonly seed: number
  readonly pairs: number
  readonly choice: PairChoice
  readonly pool: string
}

export interface Fallback {
  /** The method that was asked for. */
  readonly from: Method
  /** 'checks-failed', or the code of `error`. */
  readonly code: string
  /** Of the last text that was rejected. */
  readonly faults: readonly TextFault[]
  /** What kept the model from answering, and may pass; undefined where it did answer, or never will. */
  readonly error?: GeneratorError | undefined
}

export interface Rejected {
  readonly text: string
  readonly faults: readonly TextFault[]
  readonly invented: readonly string[]
}

/** Of all requests that a description took. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly usd: number
  /** Whether nothing was asked for that had not been asked for before. */
  readonly cached: boolean
}

export interface DescriberSettings {
  readonly method: Method
  readonly seed: number
  /** Needed for prompt2text and for `compress`. */
  readonly generator?: TextGenerator | undefined
  readonly pool?: FewShotPool | undefined
  /** k of the prompt; 5 by default. */
  readonly pairs?: number
  readonly pairChoice?: PairChoice
  /** Whether the model joins the sentences of data2text. */
  readonly compress?: boolean
  /** 'confident': a few of each category above their thresholds; 'all': every tag, for tags that people gave. */
  readonly claims?: 'confident' | 'all'
}

export interface Describer {
  readonly method: Method
  /** @throws whatever `signal` was aborted with; OutageError where the store of texts is away. */
  describe(
    id: string,
    tags: readonly Tag[],
    signal: AbortSignal,
    thresholds?: TagThresholds | null,
  ): Promise<Description>
}

/** They change whenever the same tags would give another text. */
const GENERATORS = { data2text: 'cuestream-data2text@2', tags: 'cuestream-tags@2' } as const
/** A text of the model, and one more that is told what was wrong. */
const TRIES = 2
const SEEDS = 2 ** 31

interface Asking {
  readonly generator: TextGenerator
  readonly claimed: readonly Tag[]
  readonly seed: number
  readonly signal: AbortSignal
  prompt(last: Rejected | undefined): Prompt
  readonly examples?: readonly string[]
  /** Whether a tag may be left unsaid. */
  readonly mayOmit: boolean
}

type Answer = { readonly usage: Usage; readonly rejected: readonly Rejected[] } & (
  | { readonly text: string; readonly check: TextCheck; readonly seed: number }
  | { readonly text?: undefined; readonly failed: Omit<Fallback, 'from'> }
)

/** @throws SetupError 'no-generator' where the method needs a model and has none. */
export function createDescriber(settings: DescriberSettings): Describer {
  const { method, seed, generator, pool, pairs = 5, pairChoice = 'similar', claims = 'confident' } = settings
  const needsModel = method === 'prompt2text' || settings.compress === true
  if (needsModel && (generator === undefined || pool === undefined)) {
    throw new SetupError('no-generator', `${method} needs a model: give llmUrl and llmModel (docs/descriptions.md)`)
  }

  async function byModel(id: string, chosen: TagsByCategory, rules: Description, signal: AbortSignal) {
    const model = generator!
    const claimed = Object.values(chosen).flat()
    const random = seededRandom(pairChoice === 'fixed' ? `${seed}/pairs` : `${seed}/${id}/pairs`)
    const examples = choosePairs(pool!, claimed, { k: pairs, choice: pairChoice, random })
    const prompt = analogyPrompt(chosen, examples, model.kind)
    const answer = await ask({
      generator: model,
      claimed,
      seed: requestSeed(id),
      signal,
      prompt: (last) => (last === undefined ? prompt : retryPrompt(prompt, last, model.kind)),
      examples: examples.map(({ text }) => text),
      mayOmit: true,
    })
    return described(answer, rules, {
      promptVersion: PROMPT_VERSION,
      prompt: { pairs: examples.length, choice: pairChoice, pool: pool!.sha256 },
    })
  }

  /** What the rules wrote, joined more fluently where every tag is still said. */
  async function compressed(id: string, chosen: TagsByCategory, rules: Description, signal: AbortSignal) {
    const model = generator!
    const answer = await ask({
      generator: model,
      claimed: Object.values(chosen).flat(),
      seed: requestSeed(id),
      signal,
      prompt: () => compressPrompt(rules.text, chosen, model.kind),
      mayOmit: false,
    })
    return described(answer, rules, { promptVersion: `${PROMPT_VERSION}+compress` })
  }

  function described(
    answer: Answer,
    rules: Description,
    of: { promptVersion: string; prompt?: Pick<PromptRecord, 'pairs' | 'choice' | 'pool'> },
  ): Description {
    const { usage, rejected } = answer
    if (answer.text === undefined) return { ...rules, usage, rejected, fallback: { from: method, ...answer.failed } } // [fallback]
    const { model, temperature } = generator!
    const left = rules.tagsOmitted
    return {
      text: answer.text,
      method,
      generator: model,
      promptVersion: of.promptVersion,
      tagsKept: answer.check.kept,
      tagsOmitted: [...answer.check.omitted, ...left],
      tagsInvented: answer.check.invented,
      prompt: {
        model,
        temperature,
        seed: answer.seed,
        ...(of.prompt ?? { pairs: 0, choice: pairChoice, pool: pool!.sha256 }),
      },
      usage,
      rejected,
    }
  }

  /** A seed for each track, so that tracks of the same tags get texts of their own. [seeded] */
  function requestSeed(id: string): number {
    return (seededBits(`${seed}/${id}/model`)() >>> 0) % (SEEDS - TRIES)
  }

  return {
    method,
    async describe(id, given, signal, thresholds) {
      const chosen = claims === 'all' ? tagsByCategory(given) : confidentTags(given, thresholds ?? {})
      const random = seededRandom(`${seed}/${id}`)
      // Where nothing is certain enough to be said in sentences, what is likeliest is listed.
      const lists = method === 'tags' || Object.values(chosen).flat().length === 0
      if (lists) {
        const top = claims === 'all' ? shuffled(spokenTags(given), random) : topTags(given, random, thresholds ?? {})
        return byRules('tags', top.map(({ tag }) => tag).join(', '), top, given)
      }
      const rules = byRules('data2text', data2text(chosen, random), Object.values(chosen).flat(), given)
      if (method === 'prompt2text') return byModel(id, chosen, rules, signal)
      return settings.compress ? compressed(id, chosen, rules, signal) : rules
    },
  }
}

function byRules(method: 'data2text' | 'tags', text: string, said: readonly Tag[], given: readonly Tag[]): Description {
  const kept = new Set(said.map(({ tag }) => tag))
  const tagsOmitted = given.map(({ tag }) => tag).filter((tag) => !kept.has(tag))
  const generator = GENERATORS[method]
  return { text, method, generator, promptVersion: null, tagsKept: [...kept], tagsOmitted, tagsInvented: [] }
}

/** Asks until a text passes, TRIES times. [checked] */
async function ask({ generator, claimed, seed, signal, prompt, examples = [], mayOmit }: Asking): Promise<Answer> {
  // Texts of a model alone need it: telling languages apart takes some 60 MB.
  const { checkText } = await import('./check-text.ts')
  const rejected: Rejected[] = []
  let usage: Usage = { inputTokens: 0, outputTokens: 0, usd: 0, cached: true }
  let error: GeneratorError | undefined
  try {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const completion = await generator.complete(prompt(rejected.at(-1)), { signal, seed: seed + attempt })
      usage = sum(usage, completion)
      const text = cleanCompletion(completion.text, { truncated: completion.truncated })
      const check = checkText(text, claimed, { examples })
      const saysEnough = mayOmit ? check.kept.length > 0 : check.omitted.length === 0
      const faults: TextFault[] = saysEnough ? check.faults : [...check.faults, 'omits-tags']
      if (faults.length === 0) return { text, check, seed: seed + attempt, usage, rejected }
      rejected.push({ text, faults, invented: check.invented })
    }
  } catch (cause) {
    if (!(cause instanceof GeneratorError)) throw cause
    error = cause
  }
  // Who will not write this text will not write it later either.
  const waitsFor = error?.code === 'llm-rejected' ? undefined : error
  const failed = { code: error?.code ?? 'checks-failed', faults: rejected.at(-1)?.faults ?? [], error: waitsFor }
  return { failed, usage, rejected }
}

function sum(usage: Usage, { inputTokens, outputTokens, usd, cached }: Completion): Usage {
  return {
    inputTokens: usage.inputTokens + inputTokens,
    outputTokens: usage.outputTokens + outputTokens,
    usd: usage.usd + usd,
    cached: usage.cached && cached,
  }
}
