/** What the server asks of a language model on this machine. */
export interface LocalModel {
  /** As /v1/models names it. */
  readonly name: string
  /** Tokens of a prompt and its answer together, at most. */
  readonly contextTokens: number
  /** Completions that run side by side. */
  readonly parallel: number
  /** Of text as it stands: what is written like a special token is text too. */
  tokenize(text: string): readonly number[]
  /** By the model's own template, up to where the answer begins. @throws InvalidRequestError */
  tokenizeChat(messages: readonly ChatMessage[]): readonly number[]
  /**
   * Goes on with a prompt. Called for at most `parallel` prompts at a time.
   * @param prompt 1 … contextTokens - 1 tokens.
   * Rejects with the reason of `signal` soon after it is aborted.
   */
  complete(prompt: readonly number[], options: CompleteOptions, signal: AbortSignal): Promise<LocalCompletion>
  close(): Promise<void>
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface CompleteOptions {
  /** As many as fit if absent. */
  readonly maxTokens?: number | undefined
  /** 0: always the likeliest token. */
  readonly temperature: number
  readonly topP: number
  /** 0 … 2³² - 1; a random one if absent. */
  readonly seed?: number | undefined
  /** The text ends before the first of them. */
  readonly stop: readonly string[]
}

export interface LocalCompletion {
  readonly text: string
  /** 'length': it ended because it may be no longer. */
  readonly finish: 'stop' | 'length'
  readonly tokens: number
  /** Of the prompt, tokens that were computed for an earlier one. */
  readonly cachedTokens: number
}
