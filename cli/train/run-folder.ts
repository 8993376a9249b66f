/**
 * The folder of one training run:
 *
 *     config.json     its configuration                log.jsonl      a line every some steps, and every epoch
 *     viml/, mt/      checkpoints, until it has ended   texts/         encoded texts
 *     bundle/         the release that it made          outcome.json   what became of it: it has ended
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SetupError } from '../../ports/errors.ts'
import type { GateReason } from '../../trainer/release/gate.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'

export interface Outcome {
  readonly release: string
  /** 'bundled': made and found good, and not to be released. */
  readonly state: 'released' | 'bundled' | 'refused'
  readonly reasons: readonly GateReason[]
  readonly metrics: Readonly<Record<string, number>>
}

export class RunFolder {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** @throws SetupError 'run-ended' where a run has ended in it */
  static async open(path: string): Promise<RunFolder> {
    if (existsSync(join(path, 'outcome.json'))) {
      throw new SetupError(
        'run-ended',
        `The run in ${path} has ended (outcome.json). Choose another folder with --out.`,
      )
    }
    await mkdir(path, { recursive: true })
    return new RunFolder(path)
  }

  get log(): string {
    return join(this.path, 'log.jsonl')
  }

  get bundle(): string {
    return join(this.path, 'bundle')
  }

  async begin(config: TrainConfig): Promise<void> {
    await writeFile(join(this.path, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
  }

  /** Checkpoints go: there is nothing to go on with. */
  async end(outcome: Outcome): Promise<void> {
    await writeFile(join(this.path, 'outcome.json'), `${JSON.stringify(outcome, null, 2)}\n`, { flush: true })
    for (const model of ['viml', 'mt']) await rm(join(this.path, model), { recursive: true, force: true })
  }
}

/** @returns a short hash, to tell things apart in logs. */
export function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12)
}
