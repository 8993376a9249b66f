/**
 * JoinState: what a stage that joins topics has seen of each id so far.
 *
 * Invariants (tests/conformance/join-state.ts)
 *   [merge]    parts of one id arrive in any order and concurrently; none is lost; a part that comes again replaces itself
 *   [durable]  resolved writes outlive the process
 */
export interface JoinState {
  /** Another one after the store was wiped: whoever fills it then reads its topics from the start. '' where that cannot be. */
  generation(): Promise<string>
  /** Keeps one part of `id`. @returns all parts of the id, this one included. */
  merge(id: string, part: string, bytes: Uint8Array, at: number): Promise<ReadonlyMap<string, Uint8Array>>
  remove(id: string): Promise<void>
  /** Ids that hold fewer than `parts` parts. */
  incomplete(parts: number): Promise<number>
  /**
   * Removes ids of up to `parts` parts, whole or not, that were last touched before `at` (Unix epoch, ms): a part that
   * comes after that is alone. @returns how many.
   */
  expire(parts: number, at: number): Promise<number>
  close(): Promise<void>
}
