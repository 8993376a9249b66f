/**
 * What is known of tracks, from a CSV file: `file` (from the folder of music on) and `tags`, separated by ";".
 *
 * The tags of a category are taken as all that are right in it; a category of which none is named is not labelled. A tag
 * behind "?" may be claimed or not. A line whose file ends with "/" speaks for every file below that has no line of its own.
 */
import { InvalidRequestError } from '../../ports/errors.ts'
import { type Category, vocabulary } from '../../processors/analyse-music/vocabulary.ts'
import { readCsv } from '../../trainer/data/csv.ts'

export interface TagLabel {
  readonly right: ReadonlySet<string>
  readonly either: ReadonlySet<string>
}

export type LabelsOf = (file: string) => ReadonlyMap<Category, TagLabel> | undefined

/** @throws InvalidRequestError 'bad-labels' naming every line that cannot be used. */
export function readTagLabels(text: string, origin: string): LabelsOf {
  const categories = new Map(vocabulary.map(({ tag, category }) => [tag, category]))
  const byFile = new Map<string, ReadonlyMap<Category, TagLabel>>()
  const faults: string[] = []
  for (const [i, { file, tags }] of readCsv(text).entries()) {
    if (file === undefined || tags === undefined) {
      throw new InvalidRequestError('bad-labels', `${origin} has no columns "file" and "tags".`)
    }
    const label = new Map<Category, { right: Set<string>; either: Set<string> }>()
    for (const one of tags
      .split(';')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== '')) {
      const tag = one.replace(/^\?\s*/, '')
      const category = categories.get(tag)
      if (category === undefined) {
        faults.push(`row ${i + 1}: "${tag}" is no tag of the vocabulary`)
        continue
      }
      const own = label.get(category) ?? { right: new Set(), either: new Set() }
      ;(one.startsWith('?') ? own.either : own.right).add(tag)
      label.set(category, own)
    }
    for (const [category, { right }] of label) if (right.size === 0) label.delete(category)
    byFile.set(file, label)
  }
  if (faults.length > 0) throw new InvalidRequestError('bad-labels', `${origin}:\n  ${faults.join('\n  ')}`)
  const folders = [...byFile.keys()].filter((file) => file.endsWith('/')).sort((a, b) => b.length - a.length)
  return (file) => byFile.get(file) ?? byFile.get(folders.find((folder) => file.startsWith(folder)) ?? '')
}
