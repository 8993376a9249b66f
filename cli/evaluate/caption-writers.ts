/** Who writes descriptions for an evaluation, and how long it takes them. */
import pLimit from 'p-limit'
import type { Tag } from '../../schemas/types.ts'
import type { Cost } from '../../trainer/evaluation/captions/caption-set.ts'

/** What the evaluation takes of a description (processors/describe-music/describer.ts). */
export interface WrittenDescription {
  readonly text: string
  /** That it was written by. */
  readonly method: string
  readonly generator: string
  readonly fallback?: { readonly code: string; readonly faults: readonly string[] } | undefined
  /** What the model wrote that did not count, in order. */
  readonly rejected?: readonly { readonly text: string }[]
  readonly usage?:
    | { readonly inputTokens: number; readonly outputTokens: number; readonly usd: number; readonly cached: boolean }
    | undefined
}

export interface CaptionWriter {
  readonly method: string
  /** Descriptions asked for at a time. */
  readonly atATime: number
  describe(id: string, tags: readonly Tag[], signal: AbortSignal): Promise<WrittenDescription>
}

/** @throws what a description failed with; those under way are aborted then, and no other is begun. */
export async function writeAll(
  writer: CaptionWriter,
  rows: readonly { readonly id: string; readonly tags: readonly Tag[] }[],
  onProgress: (done: number) => void,
): Promise<{ descriptions: readonly WrittenDescription[]; cost: Cost }> {
  const limit = pLimit(writer.atATime)
  const failed = new AbortController()
  let done = 0
  const startedAt = performance.now()
  const descriptions = await Promise.all(
    rows.map(({ id, tags }) =>
      limit(async () => {
        failed.signal.throwIfAborted()
        const description = await writer.describe(id, tags, failed.signal)
        onProgress(++done)
        return description
      }),
    ),
  ).catch((error) => {
    failed.abort(error)
    throw error
  })
  const seconds = (performance.now() - startedAt) / 1_000
  const usages = descriptions.flatMap(({ usage }) => usage ?? [])
  const sum = (of: (usage: (typeof usages)[number]) => number) => usages.reduce((total, usage) => total + of(usage), 0)
  return {
    descriptions,
    cost: {
      seconds,
      atATime: writer.atATime,
      inputTokens: sum(({ inputTokens }) => inputTokens),
      outputTokens: sum(({ outputTokens }) => outputTokens),
      usd: sum(({ usd }) => usd),
      cached: usages.filter(({ cached }) => cached).length,
    },
  }
}
