import { readFile } from 'node:fs/promises'
import { SetupError } from '../../ports/errors.ts'
import { parseTrainConfig, type TrainConfig } from '../../trainer/train-config.ts'

/** @throws SetupError 'no-file' | 'bad-train-config' */
export async function readTrainConfig(path: string): Promise<TrainConfig> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new SetupError('no-file', `The training configuration ${path} cannot be read: ${cause.message}.`, { cause })
  })
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (cause) {
    throw new SetupError('bad-train-config', `The training configuration ${path} is no JSON.`, { cause })
  }
  return parseTrainConfig(given)
}
