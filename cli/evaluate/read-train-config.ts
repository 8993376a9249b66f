import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SetupError } from '../../ports/errors.ts'
import { parseTrainConfig, type TrainConfig } from '../../trainer/train-config.ts'
import { repository } from '../paths.ts'

/** @param recipe one of trainer/configs by its name, or the path of a file. @throws SetupError 'no-file' | 'bad-train-config' */
export async function readTrainConfig(recipe: string): Promise<TrainConfig> {
  const path = /^[a-z-]+$/.test(recipe) ? join(repository, 'trainer', 'configs', `${recipe}.json`) : recipe
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
