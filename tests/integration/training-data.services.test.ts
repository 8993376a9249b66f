import { onServices } from '../support/on-services.ts'
import { trainingDataTests } from './training-data.ts'

trainingDataTests('the real engines', onServices)
