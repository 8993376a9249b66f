/** Template sentences with slots (sentences.ts says how they are written). */

/** In pieces: text and slots in turn. */
export interface Template {
  /** Whether it may open a text, and go on with one. */
  readonly first: boolean
  readonly later: boolean
  readonly slots: readonly string[]
  /** Turns that a text should not take twice. */
  readonly turns: readonly string[]
  readonly pieces: readonly (string | Slot)[]
}

interface Slot {
  readonly slot: string
  /** Instead of what fills the slot: the verb that agrees with it. */
  readonly verbs?: readonly [one: string, many: string]
}

/** Outside of slots. */
const TURNS =
  /(?:features|feel|sounds|hear|soundtrack|The style|The genre|elements|draws|Parts|something| has )(?![^{]*\})/g

export function compiled<Name extends string>(
  all: Readonly<Record<Name, readonly string[]>>,
): Record<Name, Template[]> {
  const entries = Object.entries<readonly string[]>(all).map(([name, texts]) => [name, texts.map(template)])
  return Object.fromEntries(entries)
}

/** @returns the templates that repeat the fewest turns of what is said. */
export function leastWorn(templates: readonly Template[], said: string): readonly Template[] {
  if (said.trim() === '') return templates
  const worn = templates.map(({ turns }) => turns.filter((turn) => said.includes(turn)).length)
  const least = Math.min(...worn)
  return templates.filter((_, i) => worn[i] === least)
}

/** @param plural whether verbs are of the plural. */
export function filled({ pieces }: Template, slots: ReadonlyMap<string, string>, plural: boolean): string {
  return pieces
    .map((piece) => (typeof piece === 'string' ? piece : (piece.verbs?.[plural ? 1 : 0] ?? slots.get(piece.slot)!)))
    .join('')
}

function template(text: string): Template {
  const pieces = text
    .replace(/^[+^]/, '')
    .split(/(\{[^}]+\})/)
    .filter((piece) => piece !== '')
    .map((piece) => (piece.startsWith('{') ? slot(piece.slice(1, -1)) : piece))
  return {
    first: !text.startsWith('+'),
    later: !text.startsWith('^'),
    slots: pieces.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.slot])),
    turns: text.match(TURNS) ?? [],
    pieces,
  }
}

function slot(written: string): Slot {
  const [name, verbs] = written.split(':') as [string, string?]
  if (verbs === undefined) return { slot: name }
  const [one, many] = verbs.split('/') as [string, string]
  return { slot: name, verbs: [one, many] }
}
