/** Folders of the repository and of the data folder. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('..', import.meta.url))

export const repositoryPaths = {
  models: join(repository, 'models'),
  samples: join(repository, 'samples', 'manifest.jsonl'),
} as const

export function dataPaths(dataFolder: string) {
  return {
    owner: dataFolder,
    media: join(dataFolder, 'media'),
    index: join(dataFolder, 'index'),
    catalogue: join(dataFolder, 'catalogue'),
    joins: join(dataFolder, 'joins'),
    generations: join(dataFolder, 'generations'),
    models: join(dataFolder, 'models'),
    releases: join(dataFolder, 'releases'),
    releaseCopies: join(dataFolder, 'cache', 'releases'),
    cache: join(dataFolder, 'cache'),
    services: join(dataFolder, 'services'),
    trainingRuns: join(dataFolder, 'training-runs'),
    training: join(dataFolder, 'training'),
    samplesDone: join(dataFolder, 'samples-done'),
  } as const
}
