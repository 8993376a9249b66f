/** The files of one encoder, with the hashes that they must have. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'
import { type ModelFile, readModelJson } from '../models/profile-files.ts'

export class EncoderFiles {
  readonly #files: ReadonlyMap<string, ModelFile>
  /** Over the hashes of the files, in the order of their names: changes when any of them does. */
  readonly sha256: string

  constructor(files: readonly ModelFile[]) {
    this.#files = new Map(files.map((file) => [file.name, file]))
    const hash = createHash('sha256')
    for (const name of [...this.#files.keys()].sort()) hash.update(`${name}\0${this.file(name).sha256}\n`)
    this.sha256 = hash.digest('hex')
  }

  file(name: string): ModelFile {
    const file = this.#files.get(name)
    if (file === undefined) throw new RangeError(`The encoder has no file "${name}".`)
    return file
  }

  json(name: string): unknown {
    return readModelJson(this.file(name))
  }

  /** @throws SetupError 'model-labels' unless there are exactly `count`. */
  labels({ file, key }: { file: string; key?: string | undefined }, count: number): readonly string[] {
    const value = this.json(file)
    const list = key === undefined ? value : (value as Record<string, unknown> | null)?.[key]
    const parsed = z.array(z.string()).length(count).safeParse(list)
    if (parsed.success) return parsed.data
    const where = key === undefined ? this.file(file).path : `"${key}" in ${this.file(file).path}`
    throw new SetupError('model-labels', `${where} must be a list of ${count} labels, as its profile says.`)
  }
}
