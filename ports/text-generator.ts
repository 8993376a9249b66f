/**
 * TextGenerator: a language model that goes on with a text, and GenerationStore: what it wrote and what that cost.
 *
 * [cap]     what is spent in a period never passes the cap of the caller: a request is begun only once its worst case is
 *           set aside, and what is set aside counts as spent until the request has ended
 * [once]    a text that is kept is not asked for again under the same hash
 */
import { RetryableError } from './errors.ts'

export interface Prompt {
  /** For models that follow instructions. */
  readonly system?: string | undefined
  readonly user: string
  /** Where the text ends, not part of it. */
  readonly stop: readonly string[]
}

export interface GenerateOptions {
  readonly signal: AbortSignal
  /** Of the sampling, 0 … 2³¹ - 1: the same seed and prompt give the same text where the endpoint keeps to it. */
  readonly seed: number
}

export interface Completion {
  readonly text: string
  /** Whether it ended because it may be no longer. */
  readonly truncated: boolean
  readonly inputTokens: number
  readonly outputTokens: number
  /** US dollars that it cost; 0 where it was kept from before. */
  readonly usd: number
  readonly cached: boolean
}

export interface TextGenerator {
  /** Of the model, as the endpoint names it. */
  readonly model: string
  /** 'instruct' follows instructions; 'base' goes on with a text. */
  readonly kind: 'instruct' | 'base'
  readonly temperature: number
  /** @throws GeneratorError; whatever `signal` was aborted with. */
  complete(prompt: Prompt, options: GenerateOptions): Promise<Completion>
  close(): Promise<void>
}

/**
 * `llm-budget`: the cap of the period is reached. `llm-rejected`: the endpoint answers others and will not write this text,
 * now or later. The others are the endpoint's, and may pass.
 */
export type GeneratorCode =
  | 'llm-away'
  | 'llm-slow'
  | 'llm-busy'
  | 'llm-failed'
  | 'llm-garbage'
  | 'llm-refused'
  | 'llm-rejected'
  | 'llm-budget'

/** No text now; it may come later. */
export class GeneratorError extends RetryableError {
  declare readonly code: GeneratorCode

  constructor(code: GeneratorCode, message: string, options?: { cause?: unknown; retryAfterMs?: number }) {
    super(code, message, options)
  }
}

export interface KeptText {
  readonly text: string
  readonly truncated: boolean
  readonly inputTokens: number
  readonly outputTokens: number
}

export interface GenerationStore {
  /** @param hash of all that the text depends on. */
  kept(hash: string): Promise<KeptText | undefined>
  /** @param at Unix epoch, ms. */
  keep(hash: string, text: KeptText, at: number): Promise<void>
  /** Sets `amount` aside if what is spent and set aside in the period stays within `cap` then. [cap] @returns whether it did */
  reserve(period: string, amount: number, cap: number): Promise<boolean>
  /** Of what was set aside, `spent` was needed. */
  settle(period: string, reserved: number, spent: number): Promise<void>
  /** Spent and set aside. Amounts are whole millionths of a US dollar. */
  spent(period: string): Promise<number>
  /** Forgets texts that were kept before `at` (Unix epoch, ms), where the store does not by itself. */
  expire(at: number): Promise<void>
  close(): Promise<void>
}
