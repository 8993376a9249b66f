import { onServices } from '../support/on-services.ts'
import { trainLiveTests } from './train-live.ts'

trainLiveTests('the real engines', onServices)
