import { trainingDataTests } from './training-data.ts'

trainingDataTests('the embedded engines', async () => ({}))
