/** Which sequence of the context suits a prompt: its state is kept from one prompt to the next. */

/** Tokens that two lists share at their beginning. */
export function sharedPrefix(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i
  return length
}

/**
 * @param free in the order in which they were last used.
 * @returns the one that shares the longest beginning with the prompt; of equals the one that lay idle longest.
 */
export function bestFor<T extends { readonly kept: readonly number[] }>(
  free: readonly T[],
  prompt: readonly number[],
): T | undefined {
  let best: T | undefined
  let longest = -1
  for (const one of free) {
    const shared = sharedPrefix(one.kept, prompt)
    if (shared > longest) [best, longest] = [one, shared]
  }
  return best
}
